import { createHash } from 'node:crypto';
import { type Complexity, defaultComplexity } from '@sallyport/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { SecretLimits } from '../kind/target-kind.ts';
import { formatComplexity, parseComplexity } from './complexity.ts';
import { generatePassword, type SecretBytes } from './generate-password.ts';

const any: SecretLimits = { minLength: 1, maxLength: 256, forbidden: '', significant: null };

/** Bytes of a seed: SHA-256 in counter mode. */
function seeded(seed: number): SecretBytes {
  let n = 0;
  return (length) => {
    const blocks = Array.from({ length: Math.ceil(length / 32) }, () => {
      n += 1;
      return createHash('sha256').update(`${seed}.${n}`).digest();
    });
    return Uint8Array.from(Buffer.concat(blocks).subarray(0, length));
  };
}
function generate(complexity: Complexity, limits: SecretLimits, bytes: SecretBytes): string | null {
  const made = generatePassword(complexity, limits, bytes);
  return made.ok ? made.password.reveal() : null;
}

const printable = Array.from({ length: 94 }, (_, n) => String.fromCharCode(33 + n));
const symbols = printable.filter((each) => !/[A-Za-z0-9]/.test(each));
const complexities = fc
  .record({
    ...{ length: fc.integer({ min: 8, max: 256 }), parts: fc.tuple(fc.nat(64), fc.nat(64), fc.nat(64), fc.nat(64)) },
    specials: fc.subarray(symbols, { minLength: 1 }).map((each) => each.join('')),
  })
  .filter(({ length, parts }) => parts.reduce((a, b) => a + b) <= length)
  .map(({ length, parts: [upper, lower, digits, few], specials }) => ({
    ...{ length, upper, lower, digits, symbols: few, specials },
  }));

test('a complexity reads as it was written', () => {
  fc.assert(
    fc.property(complexities, (c) => {
      expect(parseComplexity(formatComplexity(c))).toEqual(c);
    }),
  );
  expect(parseComplexity('20,1,2,3,4')).toEqual({
    ...{ length: 20, upper: 1, lower: 2, digits: 3, symbols: 4, specials: defaultComplexity.specials },
  });
  expect(parseComplexity('20,1,2,3,4,,;').specials).toBe(',;');
});

test('what is no complexity is refused, with its form in the message', () => {
  for (const text of ['', '20', '20,1,1,1', '7,1,1,1,1', '20,5,5,5,6', '20,1,1,1,1,a', '20,-1,1,1,1', '20,1,1,1,1,']) {
    expect(() => parseComplexity(text)).toThrow('len,upper,lower,digits,symbols');
  }
});

test('has its length, each class as often as asked, and no character the target cannot take', () => {
  const limits = fc
    .subarray(printable, { maxLength: 40 })
    .map((forbidden) => ({ ...any, forbidden: forbidden.join('') }));
  fc.assert(
    fc.property(complexities, limits, fc.nat(), (c, target, seed) => {
      const text = generate(c, target, seeded(seed));
      const left = (set: RegExp | string): boolean =>
        printable.some(
          (each) => (typeof set === 'string' ? set.includes(each) : set.test(each)) && !target.forbidden.includes(each),
        );
      const isPossible =
        (c.upper === 0 || left(/[A-Z]/)) &&
        (c.lower === 0 || left(/[a-z]/)) &&
        (c.digits === 0 || left(/\d/)) &&
        (c.symbols === 0 || left(c.specials)) &&
        left(/[A-Za-z0-9]/);
      if (text === null) {
        expect(isPossible).toBe(false);
        return;
      }
      const count = (of: RegExp): number => (text.match(of) ?? []).length;
      expect(text).toHaveLength(c.length);
      expect(count(/[A-Z]/g)).toBeGreaterThanOrEqual(c.upper);
      expect(count(/[a-z]/g)).toBeGreaterThanOrEqual(c.lower);
      expect(count(/\d/g)).toBeGreaterThanOrEqual(c.digits);
      expect(count(/[^A-Za-z0-9]/g)).toBeGreaterThanOrEqual(c.symbols);
      if (c.symbols === 0) expect(count(/[^A-Za-z0-9]/g)).toBe(0);
      for (const each of text) {
        expect(target.forbidden).not.toContain(each);
        if (!/[A-Za-z0-9]/.test(each)) expect(c.specials).toContain(each);
      }
    }),
    { numRuns: 400 },
  );
});

test('no password is cut: a target that reads less of it, or takes less, gets none', () => {
  const c = parseComplexity('80,1,1,1,1');
  expect(generatePassword(c, { ...any, significant: 72 }, seeded(1))).toEqual({ ok: false, why: 'length' });
  expect(generatePassword(c, { ...any, maxLength: 79 }, seeded(1))).toEqual({ ok: false, why: 'length' });
  expect(generatePassword(c, { ...any, minLength: 81 }, seeded(1))).toEqual({ ok: false, why: 'length' });
  expect(generatePassword(c, { ...any, forbidden: '0123456789' }, seeded(1))).toEqual({ ok: false, why: 'characters' });
});

/** How far counts are from equal ones, over what that is for chance: about 1 for chance, whatever the number of cells. */
function unevenness(counts: readonly number[]): number {
  const mean = counts.reduce((a, b) => a + b, 0) / counts.length;
  const chiSquare = counts.reduce((sum, n) => sum + (n - mean) ** 2 / mean, 0);
  const freedom = counts.length - 1;
  return (chiSquare - freedom) / Math.sqrt(2 * freedom);
}

test('every character is as likely at every place, and no neighbour depends on the one before', () => {
  const c = { length: 32, upper: 0, lower: 0, digits: 0, symbols: 0, specials: '' };
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'.split('');
  const index = new Map(letters.map((each, n) => [each, n]));
  const places = Array.from({ length: 32 }, () => letters.map(() => 0));
  const pairs = letters.flatMap(() => letters.map(() => 0));
  for (let seed = 0; seed < 4_000; seed += 1) {
    const at = (generate(c, any, seeded(seed)) ?? '').split('').map((each) => index.get(each) ?? -1);
    for (const [place, n] of at.entries()) {
      const counts = places[place] ?? [];
      counts[n] = (counts[n] ?? 0) + 1;
      const before = at[place - 1];
      if (before !== undefined) pairs[before * 62 + n] = (pairs[before * 62 + n] ?? 0) + 1;
    }
  }
  for (const counts of places) expect(Math.abs(unevenness(counts))).toBeLessThan(5);
  expect(Math.abs(unevenness(places.flat()))).toBeLessThan(5);
  expect(Math.abs(unevenness(pairs))).toBeLessThan(5);
  // The measure itself finds what a remainder without rejection does to 62 of 256.
  const biased = letters.map((_, n) => (n < 256 % 62 ? 5 : 4) * 500);
  expect(unevenness(biased)).toBeGreaterThan(5);
});

test('least numbers that fill the length leave no place more likely than another', () => {
  const c = { length: 8, upper: 2, lower: 2, digits: 2, symbols: 2, specials: '-_' };
  const firsts = { upper: 0, lower: 0, digits: 0, symbols: 0 };
  for (let seed = 0; seed < 4_000; seed += 1) {
    const first = (generate(c, any, seeded(seed)) ?? '').charAt(0);
    if (/[A-Z]/.test(first)) firsts.upper += 1;
    else if (/[a-z]/.test(first)) firsts.lower += 1;
    else if (/\d/.test(first)) firsts.digits += 1;
    else firsts.symbols += 1;
  }
  expect(Math.abs(unevenness(Object.values(firsts)))).toBeLessThan(5);
});
