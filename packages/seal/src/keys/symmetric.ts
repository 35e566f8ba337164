import { PamError } from '@sallyport/protocol';
import { type Bytes, copyBytes, randomBytes, utf8 } from '../bytes.ts';

const symmetricKeyBytes = 32;

/** A fresh 256-bit key. */
export function newSymmetricKey(): Uint8Array {
  return randomBytes(symmetricKeyBytes);
}

const keyWrapKeys = new WeakMap<Uint8Array, Promise<CryptoKey>>();

/**
 * Imports a 256-bit key for A256KW, once per array: hold the array you unwrapped, do not copy it for each call, and
 * never write into it.
 */
export function keyWrapKey(key: Uint8Array): Promise<CryptoKey> {
  const known = keyWrapKeys.get(key);
  if (known !== undefined) return known;
  if (key.length !== symmetricKeyBytes) throw new PamError('PAM_INTERNAL', 'A sealing key must have 32 bytes.');
  const imported = crypto.subtle.importKey('raw', copyBytes(key), 'AES-KW', false, ['wrapKey', 'unwrapKey']);
  keyWrapKeys.set(key, imported);
  return imported;
}

/** HKDF-SHA-256 (RFC 5869) to 32 bytes; `info` names the purpose, one per use. */
export async function hkdf(secret: Uint8Array, salt: Uint8Array, info: string): Promise<Bytes> {
  const base = await crypto.subtle.importKey('raw', copyBytes(secret), 'HKDF', false, ['deriveBits']);
  const how = { name: 'HKDF', hash: 'SHA-256', salt: copyBytes(salt), info: utf8(info) };
  return new Uint8Array(await crypto.subtle.deriveBits(how, base, 256));
}
