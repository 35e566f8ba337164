import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';

/** What the server makes of a password itself by default, in every version so far. */
const iterations = 4_096;
const keyBytes = 32;

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/**
 * A SCRAM-SHA-256 verifier as PostgreSQL stores it (RFC 5803's fields in its own order), so that the server and its log
 * never see the password. Synchronous on purpose, 2 ms: the write goes out in the turn that checked its permit.
 *
 * @param password - printable ASCII: other text is normalized differently by different clients.
 */
export function scramVerifier(password: string, salt: Uint8Array): string {
  const salted = pbkdf2Sync(password, salt, iterations, keyBytes, 'sha256');
  const storedKey = createHash('sha256').update(hmac(salted, 'Client Key')).digest('base64');
  const serverKey = hmac(salted, 'Server Key').toString('base64');
  return `SCRAM-SHA-256$${iterations}:${Buffer.from(salt).toString('base64')}$${storedKey}:${serverKey}`;
}
