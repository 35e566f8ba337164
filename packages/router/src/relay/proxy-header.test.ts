import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readBalancers } from './balancers.ts';
import { headerMostBytes, looksLikeProxyHeader, type ProxyHeader, readProxyHeader } from './proxy-header.ts';

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const binary = (hex: string): Buffer => Buffer.concat([signature, Buffer.from(hex.replaceAll(' ', ''), 'hex')]);
const line = (text: string): Buffer => Buffer.from(text, 'latin1');

const good: readonly [string, Buffer, string | null][] = [
  ['v1 IPv4', line('PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n'), '203.0.113.7'],
  ['v1 IPv6', line('PROXY TCP6 2001:0DB8:0:0::7 2001:db8::1 56324 443\r\n'), '2001:db8::7'],
  ['v1 IPv4 in IPv6', line('PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2\r\n'), '203.0.113.7'],
  ['v1 unknown', line('PROXY UNKNOWN\r\n'), null],
  ['v1 unknown with more', line('PROXY UNKNOWN ffff::1 ::1 65535 65535\r\n'), null],
  ['v2 IPv4', binary('21 11 000c cb007107 0a000001 dc04 01bb'), '203.0.113.7'],
  ['v2 IPv4 with fields', binary('21 11 0010 cb007107 0a000001 dc04 01bb 04 0001 00'), '203.0.113.7'],
  ['v2 IPv6', binary(`21 21 0024 20010db8000000000000000000000007 ${'00'.repeat(16)} dc04 01bb`), '2001:db8::7'],
  ['v2 local', binary('20 00 0000'), null],
  ['v2 local with fields', binary('20 11 000c cb007107 0a000001 dc04 01bb'), null],
  ['v2 unspecified', binary('21 00 0003 000000'), null],
];

test.each(good)('%s: reads the address, and not a byte beyond', (_, bytes, address) => {
  const header = { kind: 'header', address, length: bytes.length };
  expect(readProxyHeader(bytes)).toEqual(header);
  expect(readProxyHeader(Buffer.concat([bytes, line('SPRT PROXY \r\n')]))).toEqual(header);
  for (let cut = 0; cut < bytes.length; cut++) {
    expect(readProxyHeader(bytes.subarray(0, cut))).toEqual({ kind: 'incomplete' });
  }
});

test.each([
  ['a leg', line('SPRT'), 'no-header'],
  ['TLS', Buffer.from([0x16, 3, 1]), 'no-header'],
  ['another word', line('PROXX '), 'no-header'],
  ['lower case', line('proxy TCP4'), 'no-header'],
  ['a wrong family', line('PROXY TCP4 2001:db8::7 ::1 1 2\r\n'), 'malformed'],
  ['a name', line('PROXY TCP4 evil.example 10.0.0.1 1 2\r\n'), 'malformed'],
  ['a zone', line('PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n'), 'malformed'],
  ['a large port', line('PROXY TCP4 1.2.3.4 1.2.3.4 70000 2\r\n'), 'malformed'],
  ['too few words', line('PROXY TCP4 1.2.3.4\r\n'), 'malformed'],
  ['two blanks', line('PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n'), 'malformed'],
  ['an endless line', line(`PROXY UNKNOWN ${'x'.repeat(200)}`), 'too-long'],
  ['another version', binary('31 11 000c cb007107 0a000001 dc04 01bb'), 'malformed'],
  ['another command', binary('22 11 000c cb007107 0a000001 dc04 01bb'), 'malformed'],
  ['an address cut short', binary('21 11 000b cb007107 0a000001 dc04 01'), 'malformed'],
  ['an endless header', binary('21 11 ffff'), 'too-long'],
])('%s is refused', (_, bytes, why) => {
  expect(readProxyHeader(bytes)).toEqual({ kind: 'refused', why });
});

test('tells who sends a header without leave', () => {
  for (const [, bytes] of good) expect(looksLikeProxyHeader(bytes)).toBe(true);
  expect(looksLikeProxyHeader(line('PUT / HTTP/1.1\r\n'))).toBe(false);
  expect(looksLikeProxyHeader(line('\r\n'))).toBe(false);
});

const parts = fc.oneof(
  fc.uint8Array({ maxLength: 80 }).map((more) => Buffer.concat([signature, more])),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  fc
    .string({ unit: fc.constantFrom(...'PROXY TCP46:.0123456789abcf\r\n'.split('')), maxLength: 130 })
    .map((text) => line(`PROXY ${text}\r\n`)),
);

test('whatever comes: decided within bounds, the same in pieces as at once', () => {
  fc.assert(
    fc.property(parts, (bytes) => {
      const whole: ProxyHeader = readProxyHeader(bytes);
      if (whole.kind === 'header') expect(whole.length).toBeLessThanOrEqual(Math.min(bytes.length, headerMostBytes));
      if (whole.kind === 'incomplete') expect(bytes.length).toBeLessThan(headerMostBytes);
      for (let length = 0; length < bytes.length; length++) {
        const part = readProxyHeader(bytes.subarray(0, length));
        if (part.kind === 'incomplete') continue;
        expect(part).toEqual(whole);
        return;
      }
    }),
    { numRuns: 1_000 },
  );
});

test('balancers are named by address and network, IPv4 also as IPv6 shows it', () => {
  const balancers = readBalancers(['10.0.0.5', '10.1.0.0/24', 'fd00::/64']);
  for (const address of ['10.0.0.5', '::ffff:10.0.0.5', '10.1.0.200', 'fd00::9']) {
    expect(balancers.has(address)).toBe(true);
  }
  for (const address of ['10.0.0.6', '10.1.1.1', 'fd00:1::9', '', 'x']) expect(balancers.has(address)).toBe(false);
  expect(readBalancers([]).has('127.0.0.1')).toBe(false);
  for (const entry of ['10.0.0.0/33', 'proxy.example', '10.0.0.5-9', '/8', 'fd00::/129']) {
    expect(() => readBalancers([entry])).toThrow(/neither an address nor a network/);
  }
});
