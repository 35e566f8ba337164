import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { answerTo, nativeHash } from './login-method.ts';

const digest = (method: string, ...parts: readonly Uint8Array[]): Buffer =>
  createHash(method).update(Buffer.concat(parts)).digest();

test('a hash is what PASSWORD() says of it in the documentation', () => {
  expect(nativeHash('mypass')).toBe('*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4');
});

/** As a server checks it: with what it keeps, and never with the password. */
test.each([
  ['mysql_native_password', 'sha1', (challenge: Buffer, kept: Buffer) => [challenge, kept]],
  ['caching_sha2_password', 'sha256', (challenge: Buffer, kept: Buffer) => [kept, challenge]],
] as const)('an answer of %s shows that its maker has the password', (method, name, order) => {
  const challenge = Buffer.from('a challenge of 20 b.');
  const kept = digest(name, digest(name, Buffer.from('secret')));
  const mask = digest(name, ...order(challenge, kept));
  const once = Buffer.from(answerTo(method, 'secret', challenge).map((byte, index) => byte ^ (mask[index] ?? 0)));
  expect(digest(name, once).equals(kept)).toBe(true);
});
