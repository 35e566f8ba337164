import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readNoProxy } from './no-proxy.ts';

test.each([
  ['example.com', 'example.com', true],
  ['example.com', 'pam.example.com', true],
  ['.example.com', 'example.com', true],
  ['.example.com', 'pam.example.com', true],
  ['*.example.com', 'pam.example.com', true],
  ['example.com', 'badexample.com', false],
  ['example.com', 'example.com.evil.org', false],
  ['EXAMPLE.com', 'PAM.Example.COM', true],
  ['example.com', 'example.com.', true],
  ['a.org, example.com\tb.org', 'example.com', true],
  ['*', 'anything.at.all', true],
  ['10.0.0.5', '10.0.0.5', true],
  ['10.0.0.5', '10.0.0.50', false],
  ['10.0.0.0/8', '10.200.3.4', true],
  ['10.0.0.0/8', '11.0.0.1', false],
  ['10.0.0.0/8', '::ffff:10.1.1.1', true],
  ['10.0.0.0/99', '10.1.1.1', false],
  ['0.0.0.0/0', 'example.com', false],
  ['fd00::/8', 'fd12::1', true],
  ['fd00::1', '[FD00:0::1]', true],
  ['[fd00::1]', 'fd00::1', true],
  ['0.0.5', '10.0.0.5', false],
  ['', 'example.com', false],
  [',,  ,', 'example.com', false],
])('NO_PROXY=%s exempts %s: %s', (text, host, exempt) => {
  expect(readNoProxy(text).has(host, 7_443)).toBe(exempt);
});

test('an entry with a port is for that port only', () => {
  const exempt = readNoProxy('example.com:7443 [fd00::1]:443 10.0.0.5:22');
  expect(exempt.has('example.com', 7_443)).toBe(true);
  expect(exempt.has('pam.example.com', 443)).toBe(false);
  expect(exempt.has('fd00::1', 443)).toBe(true);
  expect(exempt.has('fd00::1', 22)).toBe(false);
  expect(exempt.has('10.0.0.5', 22)).toBe(true);
});

test('loopback is never asked of a proxy, whose loopback is another one', () => {
  for (const host of ['localhost', 'LOCALHOST', 'db.localhost', '127.0.0.1', '127.9.9.9', '::1', '[::1]']) {
    expect(readNoProxy('').has(host, 1)).toBe(true);
  }
  expect(readNoProxy('').has('localhost.example.com', 1)).toBe(false);
});

test('rubbish exempts nothing that it does not name, and never throws', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), fc.domain(), (text, host) => {
      const named = text.includes('*') || text.toLowerCase().includes(host.split('.').at(-1) ?? '');
      const exempt = readNoProxy(text).has(host, 443);
      expect(exempt && !named).toBe(false);
    }),
  );
});

test('an entry exempts a name and what is below it, and nothing beside', () => {
  fc.assert(
    fc.property(fc.domain(), fc.domain(), (named, other) => {
      const exempt = readNoProxy(named);
      expect(exempt.has(named.toUpperCase(), 1)).toBe(true);
      expect(exempt.has(`x.${named}`, 1)).toBe(true);
      const below =
        other.toLowerCase() === named.toLowerCase() || other.toLowerCase().endsWith(`.${named.toLowerCase()}`);
      expect(exempt.has(other, 1)).toBe(below);
    }),
  );
});
