import { expect, test } from 'vitest';
import { checkNetwork, checkTarget, isSpecialAddress, readTargetHost } from './target-address.ts';

test.each(['127.1', '0', '2852039166', '0x7f000001', '0x7f.1', '10.0.0.05', '1.2.3', '10.0.0.256', 'web.1', '1:2'])(
  'refuses %s: an address in disguise',
  (host) => {
    expect(() => readTargetHost(host)).toThrow(expect.objectContaining({ code: 'PAM_USAGE' }));
  },
);

test.each(['web1', 'web1.example', 'web1.example.', 'xn--bcher-kva.example', 'a_b.example', '3com.example'])(
  'takes the name %s',
  (host) => {
    expect(readTargetHost(host)).toEqual({ kind: 'name' });
  },
);

test.each(['', 'a b', '-a', 'a..b', 'a/b', 'ä.example', `${'a'.repeat(64)}.example`])(
  'refuses “%s” as no name',
  (host) => {
    expect(() => readTargetHost(host)).toThrow(expect.objectContaining({ code: 'PAM_USAGE' }));
  },
);

test.each([
  ['10.0.0.5', true],
  ['172.16.0.1', true],
  ['192.168.1.1', true],
  ['127.0.0.1', true],
  ['169.254.169.254', true],
  ['100.64.0.1', true],
  ['0.0.0.0', true],
  ['224.0.0.1', true],
  ['255.255.255.255', true],
  ['192.0.2.1', true],
  ['::1', true],
  ['::', true],
  ['fe80::1', true],
  ['fd00::1', true],
  ['ff02::1', true],
  ['::ffff:169.254.169.254', true],
  ['::ffff:8.8.8.8', true],
  ['64:ff9b::8.8.8.8', true],
  ['2002:0808:0808::1', true],
  ['8.8.8.8', false],
  ['93.184.216.34', false],
  ['2606:4700:4700::1111', false],
])('%s is special: %s', (host, special) => {
  expect(isSpecialAddress(host)).toBe(special);
});

test('refuses a special address outside the networks and says which command lists it', () => {
  const configuration = { title: 'dc1 net', networks: ['10.0.0.0/24'] };
  expect(() => checkTarget('10.0.0.5', configuration)).not.toThrow();
  expect(() => checkTarget('8.8.8.8', configuration)).not.toThrow();
  expect(() => checkTarget('web1', null)).not.toThrow();
  expect(() => checkTarget('10.0.1.5', configuration)).toThrow(
    expect.objectContaining({
      code: 'PAM_TARGET_NOT_ALLOWED',
      remedy: "If it is meant, run pam config edit 'dc1 net' --network 10.0.1.5/32 .",
    }),
  );
  expect(() => checkTarget('fd00::1', configuration)).toThrow(
    expect.objectContaining({ remedy: expect.stringContaining('fd00::1/128') }),
  );
  expect(() => checkTarget('10.0.0.5', null)).toThrow(expect.objectContaining({ code: 'PAM_TARGET_NOT_ALLOWED' }));
});

test('takes networks only in their own form', () => {
  expect(checkNetwork('10.0.0.0/8')).toBe('10.0.0.0/8');
  expect(checkNetwork('fd00::/8')).toBe('fd00::/8');
  for (const bad of ['10.0.0.1/8', '10.0.0.0', '10.0.0.0/33', 'x/8', '']) {
    expect(() => checkNetwork(bad)).toThrow(expect.objectContaining({ code: 'PAM_USAGE' }));
  }
});
