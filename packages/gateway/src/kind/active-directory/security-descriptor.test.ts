import { expect, test } from 'vitest';
import { hasRight, resetPasswordRight } from './security-descriptor.ts';

const sid = (...parts: number[]): Buffer =>
  Buffer.concat([
    Buffer.from([1, parts.length, 0, 0, 0, 0, 0, 5]),
    ...parts.map((part) => Buffer.from(Uint32Array.of(part).buffer)),
  ]);
const [me, group, other] = [sid(21, 1, 2, 3, 1_104), sid(21, 1, 2, 3, 1_200), sid(21, 1, 2, 3, 9_999)];
const sendAs = '549a4e7ad7a1d211980500c04f8eedd8';
const uint32 = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer);

/** `right` null: a plain entry; '': an object entry about every right. */
function entry(
  type: number,
  trustee: Buffer,
  right: string | null,
  more: { flags?: number; mask?: number } = {},
): Buffer {
  const { flags = 0, mask = 0x100 } = more;
  const about = right === null ? [] : [uint32(right === '' ? 0 : 1), Buffer.from(right, 'hex')];
  const body = Buffer.concat([uint32(mask), ...about, trustee]);
  const size = body.length + 4;
  return Buffer.concat([Buffer.from([type, flags, size & 0xff, size >> 8]), body]);
}
function descriptor(...entries: Buffer[]): Buffer {
  const size = 8 + entries.reduce((sum, { length }) => sum + length, 0);
  const list = Buffer.from([4, 0, size & 0xff, size >> 8, entries.length, 0, 0, 0]);
  const head = Buffer.from([1, 0, 0x04, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0]);
  return Buffer.concat([head, list, ...entries]);
}
const may = (...entries: Buffer[]): boolean | null => hasRight(descriptor(...entries), [me, group], resetPasswordRight);
const [allow, deny, allowOne, denyOne] = [0, 1, 5, 6];

test('a right is had by an entry about it, about every right, or about everything, for the login or a group of it', () => {
  expect(may(entry(allowOne, me, resetPasswordRight))).toBe(true);
  expect(may(entry(allowOne, group, ''))).toBe(true);
  expect(may(entry(allow, me, null))).toBe(true);
  expect(may(entry(allow, me, null, { mask: 0xf01ff }))).toBe(true);
});

test('nobody has a right by an entry about somebody else, another right, reading, or what is only passed on', () => {
  expect(may()).toBe(false);
  expect(may(entry(allowOne, other, resetPasswordRight))).toBe(false);
  expect(may(entry(allowOne, me, sendAs))).toBe(false);
  expect(may(entry(allow, me, null, { mask: 0x20094 }))).toBe(false);
  expect(may(entry(allowOne, me, resetPasswordRight, { flags: 0x0a }))).toBe(false);
});

test('the first entry about it decides', () => {
  expect(may(entry(denyOne, group, resetPasswordRight), entry(allowOne, me, resetPasswordRight))).toBe(false);
  expect(may(entry(allowOne, me, resetPasswordRight), entry(deny, group, null))).toBe(true);
  expect(may(entry(deny, other, null), entry(allowOne, me, resetPasswordRight))).toBe(true);
});

test('without a list everything is allowed, and what is no descriptor says nothing', () => {
  expect(hasRight(Buffer.from([1, 0, 0, 0x80, ...Array<number>(16).fill(0)]), [me], resetPasswordRight)).toBe(true);
  const whole = descriptor(entry(allowOne, other, resetPasswordRight), entry(deny, other, null));
  for (let length = 0; length < whole.length; length += 1) {
    expect(hasRight(whole.subarray(0, length), [me], resetPasswordRight)).toBeNull();
  }
});
