import { type ErrorCode, PamError } from '@sallyport/protocol';
import { CompactEncrypt, compactDecrypt } from 'jose';
import type { z } from 'zod';
import { copyBytes, fromUtf8, utf8 } from '../bytes.ts';
import { type BoxKey, publicJwkSchema, recipientKey, type PublicJwk } from '../keys/ec-key.ts';
import { keyWrapKey } from '../keys/symmetric.ts';
import { refusal } from '../refuse.ts';
import { parseJson } from './statement.ts';

/**
 * Sealed values: compact JWE (RFC 7516), content A256GCM under a fresh key, wrapped by A256KW (a key both hold) or
 * ECDH-ES+A256KW (a recipient's public key). One `typ` per kind; the protected header is compared member by member, no
 * more and no fewer, before and by way of the decryption that authenticates it. No compression.
 */
export type SealedType =
  | 'sallyport-part+jwe'
  | 'sallyport-wrap+jwe'
  | 'sallyport-box+jwe'
  | 'sallyport-job-note+jwe'
  | 'sallyport-token+jwe'
  | 'sallyport-person+jwe'
  | 'sallyport-recovery+jwe'
  | 'sallyport-rest+jwe';

export type Header = Readonly<Record<string, string | number>>;

const compactForm = /^([\w-]+)\.[\w-]+\.[\w-]+\.[\w-]+\.[\w-]+$/;

export async function sealUnder(key: Uint8Array, typ: SealedType, header: Header, text: string): Promise<string> {
  return new CompactEncrypt(utf8(text))
    .setProtectedHeader({ alg: 'A256KW', enc: 'A256GCM', typ, ...header })
    .encrypt(await keyWrapKey(key));
}

export async function sealFor(recipient: PublicJwk, typ: SealedType, header: Header, text: string): Promise<string> {
  return new CompactEncrypt(utf8(text))
    .setProtectedHeader({ alg: 'ECDH-ES+A256KW', enc: 'A256GCM', typ, ...header })
    .encrypt(await recipientKey(recipient));
}

export interface SealedRules {
  readonly typ: SealedType;
  readonly maxChars: number;
  readonly code: ErrorCode;
  /** For messages: 'the wrap of the facts key'. */
  readonly what: string;
}

/**
 * The protected header as it stands, after checks of size, form, `typ` and algorithms; without alg, enc, typ and epk.
 * Unauthenticated until the value was opened.
 *
 * @throws rules.code with why 'size', 'form' or 'header'.
 */
export function readHeader(
  jwe: string,
  rules: SealedRules,
  alg: 'A256KW' | 'ECDH-ES+A256KW',
): ReadonlyMap<string, unknown> {
  const refuse = (why: string, problem: string) => refusal(rules.code, why, `${rules.what} ${problem}.`);
  if (jwe.length > rules.maxChars) throw refuse('size', `is longer than ${rules.maxChars} characters`);
  const parts = compactForm.exec(jwe);
  if (parts === null) throw refuse('form', 'is not a compact JWE');
  const header = parseJson(parts[1] ?? '');
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw refuse('form', 'has no readable header');
  }
  const members = new Map<string, unknown>(Object.entries(header));
  const epkFits = alg === 'A256KW' ? !members.has('epk') : publicJwkSchema.safeParse(members.get('epk')).success;
  if (members.get('alg') !== alg || members.get('enc') !== 'A256GCM' || members.get('typ') !== rules.typ || !epkFits) {
    throw refuse('header', `has not exactly the header of ${rules.typ}`);
  }
  for (const name of ['alg', 'enc', 'typ', 'epk']) members.delete(name);
  return members;
}

/** Throws rules.code, why 'header', unless the members are exactly those of `want`. */
export function requireExactHeader(members: ReadonlyMap<string, unknown>, want: Header, rules: SealedRules): void {
  const names = Object.keys(want);
  if (members.size !== names.length || names.some((name) => members.get(name) !== want[name])) {
    throw refusal(rules.code, 'header', `${rules.what} has not exactly the header it must have.`);
  }
}

const decryptLimits = { contentEncryptionAlgorithms: ['A256GCM'], maxDecompressedLength: 0 };

/** Opens a value sealed by `sealUnder`; the caller compared the header. Why 'key' when it does not open. */
export async function openUnder(key: Uint8Array, jwe: string, rules: SealedRules): Promise<string> {
  try {
    const opened = await compactDecrypt(jwe, await keyWrapKey(key), {
      ...decryptLimits,
      keyManagementAlgorithms: ['A256KW'],
    });
    return fromUtf8(copyBytes(opened.plaintext));
  } catch (reason) {
    if (reason instanceof PamError) throw reason;
    throw refusal(rules.code, 'key', `${rules.what} does not open with the key it should.`, reason);
  }
}

/** Opens a value sealed by `sealFor`; as `openUnder`. */
export async function openBy(box: BoxKey, jwe: string, rules: SealedRules): Promise<string> {
  try {
    const opened = await compactDecrypt(jwe, box.privateKey, {
      ...decryptLimits,
      keyManagementAlgorithms: ['ECDH-ES+A256KW'],
    });
    return fromUtf8(copyBytes(opened.plaintext));
  } catch (reason) {
    throw refusal(rules.code, 'key', `${rules.what} does not open with the key it should.`, reason);
  }
}

/** Parses an opened value that must have one shape; why 'payload' otherwise. */
export function parseOpened<Value>(text: string, schema: z.ZodType<Value>, rules: SealedRules): Value {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (reason) {
    throw refusal(rules.code, 'payload', `${rules.what} does not hold what it should.`, reason);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success)
    throw refusal(rules.code, 'payload', `${rules.what} does not hold what it should.`, parsed.error);
  return parsed.data;
}
