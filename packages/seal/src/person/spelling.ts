import { type Bytes, concatBytes, randomBytes, sha256 } from '../bytes.ts';

/** Crockford's base32: no I, L, O, U; 5 bits a symbol. */
const symbols = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** How a secret is written on paper. */
export interface Spelling {
  readonly secretBytes: number;
  /** Check bytes of which `checkBits` are written, so that the whole fills its symbols. */
  readonly checkBits: number;
}

/** 128 bits and 12 bits of check: 28 symbols, 7 groups of 4. */
export const accountSecretSpelling: Spelling = { secretBytes: 16, checkBits: 12 };
/** 160 bits and 20 bits of check: 36 symbols, 9 groups of 4. */
export const recoveryCodeSpelling: Spelling = { secretBytes: 20, checkBits: 20 };

function bitsOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(2).padStart(8, '0')).join('');
}

async function spell(secret: Bytes, spelling: Spelling): Promise<string> {
  const bits = bitsOf(concatBytes(secret, await sha256(secret))).slice(
    0,
    spelling.secretBytes * 8 + spelling.checkBits,
  );
  const text = Array.from({ length: bits.length / 5 }, (_, at) => symbols[parseInt(bits.slice(at * 5, at * 5 + 5), 2)]);
  return text.join('').replaceAll(/.{4}(?=.)/g, '$&-');
}

export async function newSpelled(spelling: Spelling): Promise<string> {
  return spell(randomBytes(spelling.secretBytes), spelling);
}

export type Unspelled =
  | { readonly kind: 'read'; readonly secret: Bytes; readonly text: string }
  | { readonly kind: 'wrong'; readonly why: 'length' | 'symbol' | 'mistyped' };

/** Reads what people type: any case, spaces and dashes anywhere, O for 0, I and L for 1. */
export async function unspell(text: string, spelling: Spelling): Promise<Unspelled> {
  const length = (spelling.secretBytes * 8 + spelling.checkBits) / 5;
  if (text.length > 256) return { kind: 'wrong', why: 'length' };
  const clean = text.toUpperCase().replaceAll(/[\s-]/g, '').replaceAll('O', '0').replaceAll(/[IL]/g, '1');
  const values = Array.from(clean, (symbol) => symbols.indexOf(symbol));
  if (values.some((value) => value < 0)) return { kind: 'wrong', why: 'symbol' };
  if (values.length !== length) return { kind: 'wrong', why: 'length' };
  const bits = values.map((value) => value.toString(2).padStart(5, '0')).join('');
  const secret = new Uint8Array(spelling.secretBytes);
  for (let at = 0; at < secret.length; at++) secret[at] = parseInt(bits.slice(at * 8, at * 8 + 8), 2);
  const canonical = await spell(secret, spelling);
  if (canonical.replaceAll('-', '') !== clean) return { kind: 'wrong', why: 'mistyped' };
  return { kind: 'read', secret, text: canonical };
}
