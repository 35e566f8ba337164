import fc from 'fast-check';
import { expect, test } from 'vitest';
import { element, integer, numberOf, octets, readElement, sequence, tags } from './ber.ts';

/** A tree of elements as bytes. */
const tree = fc.letrec<{ node: Buffer }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.uint8Array({ maxLength: 300 }).map((bytes) => octets(Buffer.from(bytes))),
    fc.nat(0x7fff_ffff).map((value) => integer(value)),
    fc.array(tie('node'), { maxLength: 4 }).map((parts) => sequence(...parts)),
  ),
})).node;

test('whatever is written is read, and nothing of it is left over', () => {
  fc.assert(
    fc.property(tree, (bytes) => {
      const read = readElement(Buffer.concat([bytes, Buffer.from([0x30])]));
      return read.kind === 'broken' || (read.kind === 'element' && read.length === bytes.byteLength);
    }),
  );
});

test('a beginning is incomplete, and never asks for more than the whole', () => {
  fc.assert(
    fc.property(tree, fc.nat(), (bytes, cut) => {
      const part = bytes.subarray(0, cut % bytes.byteLength);
      const read = readElement(part);
      return read.kind === 'incomplete' && read.needs > part.byteLength && read.needs <= bytes.byteLength;
    }),
  );
});

test('no bytes make it throw, or hang, or answer more than it was given', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2_000 }), (bytes) => {
      const read = readElement(Buffer.from(bytes));
      return read.kind !== 'element' || read.length <= bytes.byteLength;
    }),
    { numRuns: 2_000 },
  );
});

test('a number is read as it was written', () => {
  fc.assert(
    fc.property(fc.nat(0x7fff_ffff), (value) => {
      const read = readElement(integer(value));
      return read.kind === 'element' && numberOf(read.element) === value;
    }),
  );
});

const nested = (depth: number): Buffer => {
  let bytes: Buffer = octets('x');
  for (let level = 0; level < depth; level += 1) bytes = sequence(bytes);
  return bytes;
};

test.each([
  ['a length of two gigabytes', Buffer.from('30847fffffff', 'hex')],
  ['a length of four bytes that would be negative', Buffer.from('3084ffffffff', 'hex')],
  ['a length of nine bytes', Buffer.from('3089010000000000000000', 'hex')],
  ['an indefinite length', Buffer.from('30800000', 'hex')],
  ['a tag of more than one byte', Buffer.from('3f8101020102', 'hex')],
  ['a thousand wholes around one part', nested(1_000)],
  ['more parts than an answer has', sequence(...Array.from({ length: 5_000 }, () => element(tags.octets)))],
  ['a part that is longer than its whole', Buffer.from('3003040501', 'hex')],
  ['a whole that ends within the header of a part', Buffer.from('300130', 'hex')],
])('%s is broken', (_name, bytes) => {
  expect(readElement(bytes).kind).toBe('broken');
});
