import { createHash } from 'node:crypto';
import { Secret } from '@sallyport/rotation';
import { expect, test } from 'vitest';
import { decideForm, storedForm } from './stored-password.ts';

test.each([
  ['nothing can be read', undefined, [], { kind: 'hashed', scheme: 'SSHA' }],
  ['the scheme that is there', undefined, ['{SSHA512}abc'], { kind: 'hashed', scheme: 'SSHA512' }],
  ['the scheme of the record', 'ssha256', ['{SSHA}abc'], { kind: 'hashed', scheme: 'SSHA256' }],
  ['a server that hashes', 'server', ['{ARGON2}abc'], { kind: 'clear' }],
  ['a server that says it hashes, and keeps in clear', 'server', ['hunter2'], { kind: 'hashed', scheme: 'SSHA' }],
] as const)('%s', (_name, setting, stored, form) => {
  expect(decideForm(setting, stored)).toEqual(form);
});

test('a stronger scheme is never replaced by a weaker one unasked', () => {
  expect(decideForm(undefined, ['{ARGON2}abc']).kind).toBe('impossible');
});

test('each hash has a salt of its own, and is the digest of password and salt', () => {
  const password = new Secret('a secret of the test');
  const [one = '', two = ''] = [0, 1].map(() => storedForm({ kind: 'hashed', scheme: 'SSHA512' }, password));
  expect(one).not.toBe(two);
  const bytes = Buffer.from(one.slice('{SSHA512}'.length), 'base64');
  const digest = createHash('sha512').update(password.reveal()).update(bytes.subarray(64)).digest();
  expect(bytes.subarray(0, 64)).toEqual(digest);
  expect(bytes.byteLength).toBe(64 + 16);
});
