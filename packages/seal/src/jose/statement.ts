import { type ErrorCode, PamError } from '@sallyport/protocol';
import { CompactSign, compactVerify, errors } from 'jose';
import { z } from 'zod';
import { fromBase64url, fromUtf8, hashText, utf8 } from '../bytes.ts';
import { type PublicJwk, type SigningKey, verificationKey } from '../keys/ec-key.ts';
import { refusal } from '../refuse.ts';

/**
 * Statements: compact JWS (RFC 7515), ES256 only, protected header exactly {alg, typ, kid}, one `typ` per kind, `kid`
 * the RFC 7638 thumbprint of the signer's key.
 */
export type StatementType =
  | 'sallyport-log+jws'
  | 'sallyport-part+jws'
  | 'sallyport-wrap+jws'
  | 'sallyport-request+jwt'
  | 'sallyport-order+jwt'
  | 'sallyport-standing-order+jws'
  | 'sallyport-script+jws'
  | 'sallyport-service+jws'
  | 'sallyport-hello+jws'
  | 'sallyport-recovery+jws'
  | 'sallyport-event+jws';

/** Signature of 64 bytes in canonical base64url: the last character has four bits that must be zero. */
const compactForm = /^([\w-]+)\.([\w-]+)\.[\w-]{85}[AQgw]$/;
const kidForm = z.string().regex(/^[\w-]{43}$/);

export async function signStatement(typ: StatementType, payload: object, key: SigningKey): Promise<string> {
  return new CompactSign(utf8(JSON.stringify(payload)))
    .setProtectedHeader({ alg: 'ES256', typ, kid: key.id })
    .sign(key.privateKey);
}

export interface StatementRules<Payload> {
  readonly typ: StatementType;
  /** Longest text looked at. */
  readonly maxChars: number;
  readonly schema: z.ZodType<Payload>;
  /** Code of every refusal that `keyOf` does not throw itself. */
  readonly code: ErrorCode;
  /** For messages: 'entry 4 of the trust log'. */
  readonly what: string;
  /** Key of the signer; undefined refuses with why 'signer'. `payload` is well-formed but not yet verified. */
  keyOf(kid: string, payload: Payload): PublicJwk | undefined | Promise<PublicJwk | undefined>;
}

export interface Statement<Payload> {
  readonly kid: string;
  readonly payload: Payload;
}

/**
 * Reads a statement without its signature: size, form, exact header, strict payload.
 *
 * @throws rules.code with why 'size', 'form', 'header' or 'payload'.
 */
export function readStatement<Payload>(
  compact: string,
  rules: Omit<StatementRules<Payload>, 'keyOf'>,
): Statement<Payload> {
  const refuse = (why: string, problem: string, cause?: unknown) =>
    refusal(rules.code, why, `${rules.what} ${problem}.`, cause);
  if (compact.length > rules.maxChars) throw refuse('size', `is longer than ${rules.maxChars} characters`);
  const parts = compactForm.exec(compact);
  if (parts === null) throw refuse('form', 'is not a compact JWS');
  const header = parseJson(parts[1] ?? '');
  if (!isExactHeader(header, rules.typ)) throw refuse('header', `has not exactly the header of ${rules.typ}`);
  const payload = rules.schema.safeParse(parseJson(parts[2] ?? ''));
  if (!payload.success) {
    const issue = payload.error.issues[0];
    const where = issue === undefined || issue.path.length === 0 ? '' : ` at ${issue.path.join('.').slice(0, 64)}`;
    throw refuse('payload', `is malformed${where}`, payload.error);
  }
  return { kid: header.kid, payload: payload.data };
}

const verifiedKept = 1_024;
const verified = new WeakMap<PublicJwk, Set<string>>();

function isVerified(key: PublicJwk, digest: string): boolean {
  return verified.get(key)?.has(digest) === true;
}

/** The oldest goes when there are more. */
function keepVerified(key: PublicJwk, digest: string): void {
  const digests = verified.get(key) ?? new Set();
  verified.set(key, digests);
  digests.add(digest);
  const [oldest] = digests.size > verifiedKept ? digests : [];
  if (oldest !== undefined) digests.delete(oldest);
}

/**
 * Reads and verifies a statement. A signature that this key was seen to have made over this very text is not verified a
 * second time: an instance opens the same resource and administrator for each account of a server. What is remembered is
 * the text's digest, and nothing but that: who may sign what is asked each time, by `keyOf`.
 *
 * @throws rules.code with the whys of `readStatement`, 'signer' or 'signature'; or what `keyOf` throws.
 */
export async function openStatement<Payload>(
  compact: string,
  rules: StatementRules<Payload>,
): Promise<Statement<Payload>> {
  const statement = readStatement(compact, rules);
  const key = await rules.keyOf(statement.kid, statement.payload);
  if (key === undefined) throw refusal(rules.code, 'signer', `${rules.what} is signed by a key that is not known.`);
  const digest = await hashText(compact);
  if (isVerified(key, digest)) return statement;
  try {
    await compactVerify(compact, await verificationKey(key), { algorithms: ['ES256'] });
    keepVerified(key, digest);
  } catch (reason) {
    if (reason instanceof PamError) throw reason;
    if (reason instanceof errors.JOSEError || reason instanceof DOMException || reason instanceof TypeError) {
      throw refusal(rules.code, 'signature', `${rules.what} has a signature that does not verify.`, reason);
    }
    throw refusal(rules.code, 'signature', `${rules.what} could not be verified.`, reason);
  }
  return statement;
}

function isExactHeader(header: unknown, typ: StatementType): header is { alg: 'ES256'; typ: string; kid: string } {
  if (typeof header !== 'object' || header === null || Array.isArray(header)) return false;
  const members = new Map(Object.entries(header));
  return (
    members.size === 3 &&
    members.get('alg') === 'ES256' &&
    members.get('typ') === typ &&
    kidForm.safeParse(members.get('kid')).success
  );
}

/** JSON in base64url; undefined when it is not. */
export function parseJson(part: string): unknown {
  const bytes = fromBase64url(part);
  if (bytes === undefined) return undefined;
  try {
    return JSON.parse(fromUtf8(bytes)) as unknown;
  } catch (reason) {
    if (reason instanceof SyntaxError || reason instanceof TypeError) return undefined;
    throw reason;
  }
}
