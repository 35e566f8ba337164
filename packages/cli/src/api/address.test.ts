import { expect, test } from 'vitest';
import { formatAddress, parseAddress } from './address.ts';

test.each([
  ['pam.example:7443', { host: 'pam.example', port: 7443 }],
  ['pam.example', { host: 'pam.example', port: 1 }],
  ['[fd00::1]:22', { host: 'fd00::1', port: 22 }],
  ['[::1]', { host: '::1', port: 1 }],
])('reads %s', (text, address) => {
  expect(parseAddress(text, 1)).toEqual(address);
  expect(parseAddress(formatAddress(address), 1)).toEqual(address);
});

test.each(['', ':22', 'a b:1', 'fd00::1', '[fd00:1', '[zz]:1', 'h:0', 'h:65536', 'h:x', 'https://h:1'])(
  'refuses “%s”',
  (text) => {
    expect(() => parseAddress(text, 1)).toThrow(expect.objectContaining({ code: 'PAM_USAGE' }));
  },
);
