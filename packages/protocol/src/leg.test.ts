import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodePreamble, encodePreamble, type LegRole, legRole, preambleBytes } from './leg.ts';

const roles = Object.keys(legRole) as LegRole[];
const ticketArbitrary = fc.uint8Array({ minLength: 32, maxLength: 32 });

test('a preamble reads back as its role and ticket, whatever follows it', () => {
  fc.assert(
    fc.property(fc.constantFrom(...roles), ticketArbitrary, fc.uint8Array({ maxLength: 64 }), (role, ticket, rest) => {
      const bytes = new Uint8Array([...encodePreamble(role, ticket), ...rest]);
      expect(decodePreamble(bytes)).toEqual({ kind: 'leg', role, ticket });
    }),
  );
});

test('every proper prefix of a preamble is incomplete, never refused and never a leg', () => {
  const whole = encodePreamble('client', new Uint8Array(32).fill(7));
  for (let length = 0; length < preambleBytes; length++) {
    expect(decodePreamble(whole.subarray(0, length))).toEqual({ kind: 'incomplete' });
  }
});

test('a TLS record is told by its first byte', () => {
  expect(decodePreamble(Uint8Array.of(0x16))).toEqual({ kind: 'tls' });
});

test.each([
  ['magic', 0, 0x47],
  ['version', 4, 2],
  ['role', 5, 9],
  ['reserved', 6, 1],
  ['reserved', 7, 1],
] as const)('a wrong %s at byte %i is refused as soon as it is seen', (why, at, value) => {
  const bytes = encodePreamble('client', new Uint8Array(32));
  bytes[at] = value;
  const seen = why === 'reserved' ? 8 : at + 1;
  expect(decodePreamble(bytes.subarray(0, seen))).toEqual({ kind: 'refused', why });
});
