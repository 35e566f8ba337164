import { expect, test } from 'vitest';
import { accountHost, lockName, showAccount } from './account-host.ts';

test.each([
  ['app', 'app', '%'],
  ['app@%', 'app', '%'],
  ['app@LocalHost', 'app', 'localhost'],
  ['app@10.0.0.0/255.255.255.0', 'app', '10.0.0.0/255.255.255.0'],
  ['app@fe80::1', 'app', 'fe80::1'],
  ['me@corp.example@%', 'me@corp.example', '%'],
  ['not a@host part', 'not a@host part', '%'],
  ['app@', 'app@', '%'],
])('%s is %s at %s', (login, user, host) => {
  expect(accountHost({ login })).toEqual({ user, host });
});

test('two names of one account are one, and its lock fits the servers', () => {
  const [short, long] = ['app', 'app@%'].map((login) => accountHost({ login }));
  expect(short && showAccount(short)).toBe(long && showAccount(long));
  expect(lockName({ user: 'x'.repeat(128), host: 'y'.repeat(255) }).length).toBeLessThanOrEqual(64);
});
