import { PamError, toBase64url } from '@sallyport/protocol';
import { type Bytes, fromBase64url, randomBytes } from '../bytes.ts';
import { openUnder, parseOpened, readHeader, requireExactHeader, type SealedRules, sealUnder } from '../jose/sealed.ts';
import { hkdf } from '../keys/symmetric.ts';
import { refusal } from '../refuse.ts';
import { type JoinConfig, joinConfigSchema } from './config.ts';
import { defaultPort, formatHost, parseHostPort } from './text.ts';

const rules = {
  typ: 'sallyport-token+jwe',
  maxChars: 32_768,
  code: 'PAM_TOKEN_INVALID',
  what: 'The configuration behind the one-time token',
} as const satisfies SealedRules;

export interface NewToken {
  /** 256 bits, 43 characters. Secret; shown once as HOST[:PORT]:TOKEN. */
  readonly token: string;
  /** The only part that is ever sent: HKDF(token, 'sallyport-token-name'), 43 characters. */
  readonly lookup: string;
  /** Seals the configuration under HKDF(token, 'sallyport-token-blob'). */
  seal(config: JoinConfig): Promise<string>;
}

/** A one-time token; its first character is a letter. */
export async function newToken(): Promise<NewToken> {
  let token: string;
  do token = toBase64url(randomBytes(32));
  while (!/^[A-Za-z]/.test(token));
  const key = await blobKey(token);
  return {
    token,
    lookup: await tokenLookup(token),
    seal: (config) => sealUnder(key, rules.typ, {}, JSON.stringify(joinConfigSchema.parse(config))),
  };
}

export function formatToken(host: string, port: number, token: string): string {
  return `${formatHost(host)}${port === defaultPort ? '' : `:${port}`}:${token}`;
}

export interface ParsedToken {
  readonly host: string;
  readonly port: number;
  readonly token: string;
}

/**
 * Reads HOST[:PORT]:TOKEN, IPv6 in brackets, port 7443 by default, surrounding white space ignored.
 *
 * @throws PAM_TOKEN_INVALID; detail.why: host, truncated, form.
 */
export function parseToken(text: string): ParsedToken {
  const trimmed = text.trim();
  if (trimmed.length > 400) throw invalid('form', 'The one-time token is too long: it is HOST[:PORT]:TOKEN.');
  const cut = trimmed.lastIndexOf(':');
  const token = trimmed.slice(cut + 1);
  const place = trimmed.slice(0, Math.max(cut, 0));
  if (cut <= 0) throw invalid('host', 'The one-time token has no host in front: it is HOST[:PORT]:TOKEN.');
  const named = parseHostPort(place) ?? parseHostPort(`${place}:${defaultPort}`);
  if (named === undefined) throw invalid('host', 'The one-time token does not begin with HOST or HOST:PORT.');
  if (/^[\w-]{0,42}$/.test(token)) {
    throw invalid('truncated', `The one-time token has ${token.length} of 43 characters: it was cut off.`);
  }
  tokenBytes(token);
  return { ...named, token };
}

/** The name under which the router keeps the blob; it says nothing about the token. */
export async function tokenLookup(token: string): Promise<string> {
  return toBase64url(await hkdf(tokenBytes(token), new Uint8Array(), 'sallyport-token-name'));
}

/** @throws PAM_TOKEN_INVALID; detail.why: form, size, header, key (the router served another blob), payload. */
export async function openTokenBlob(token: string, jwe: string): Promise<JoinConfig> {
  requireExactHeader(readHeader(jwe, rules, 'A256KW'), {}, rules);
  return parseOpened(await openUnder(await blobKey(token), jwe, rules), joinConfigSchema, rules);
}

function blobKey(token: string): Promise<Bytes> {
  return hkdf(tokenBytes(token), new Uint8Array(), 'sallyport-token-blob');
}

function tokenBytes(token: string): Bytes {
  const bytes = fromBase64url(token);
  if (bytes?.length !== 32) throw invalid('form', 'The one-time token is malformed.');
  return bytes;
}

function invalid(why: string, message: string): PamError {
  return refusal('PAM_TOKEN_INVALID', why, message);
}
