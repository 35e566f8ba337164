import { createHash, createHmac, pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

export const mechanism = 'SCRAM-SHA-256';

const deriveKey = promisify(pbkdf2);
const keyBytes = 32;
/** RFC 7677; MongoDB makes 15,000 by default and takes no fewer than 5,000. */
const fewestIterations = 4_096;
/** A server that asks for more wants our time, and not to be safe. */
const mostIterations = 200_000;
/** What other characters become (SASLprep) differs between clients. */
const printable = /^[\x20-\x7e]+$/;

export const isPlainPassword = (text: string): boolean => printable.test(text);

/** First message of a client, without channel binding (RFC 5802 section 7). @param nonce - printable, no comma. */
export function firstMessage(user: string, nonce: string): { readonly bare: string; readonly message: string } {
  const bare = `n=${user.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${nonce}`;
  return { bare, message: `n,,${bare}` };
}

export interface Proof {
  /** The client's last message. */
  readonly message: string;
  /** Does the server's last message show that it knows the password too? */
  isServer(lastMessage: string): boolean;
}

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/**
 * The client's answer to the server's challenge (RFC 5802, 7677). Primitives are those of `node:crypto`.
 *
 * @returns null when the server's message is not one: another nonce, no salt, an iteration count out of bounds.
 */
export async function proveSecret(
  password: string,
  bare: string,
  nonce: string,
  challenge: string,
): Promise<Proof | null> {
  const { r, s, i } =
    /^r=(?<r>[!-+\--~]{1,256}),s=(?<s>[A-Za-z\d+/]{4,256}={0,2}),i=(?<i>\d{1,9})$/.exec(challenge)?.groups ?? {};
  if (r === undefined || s === undefined || i === undefined) return null;
  const iterations = Number(i);
  if (!r.startsWith(nonce) || r === nonce || iterations < fewestIterations || iterations > mostIterations) return null;
  const salted = await deriveKey(password, Buffer.from(s, 'base64'), iterations, keyBytes, 'sha256');
  const withoutProof = `c=biws,r=${r}`;
  const exchange = `${bare},${challenge},${withoutProof}`;
  const clientKey = hmac(salted, 'Client Key');
  const signature = hmac(createHash('sha256').update(clientKey).digest(), exchange);
  const proof = clientKey.map((byte, at) => byte ^ (signature[at] ?? 0));
  const expected = hmac(hmac(salted, 'Server Key'), exchange);
  return {
    message: `${withoutProof},p=${Buffer.from(proof).toString('base64')}`,
    isServer: (lastMessage) => {
      const shown = Buffer.from(/^v=([A-Za-z\d+/]{43}=)$/.exec(lastMessage)?.[1] ?? '', 'base64');
      return shown.byteLength === expected.byteLength && timingSafeEqual(shown, expected);
    },
  };
}
