import { expect, test } from 'vitest';
import { hashOf, isMark, isUntold, markName, marksOf, retirement } from './acl-mark.ts';

const [theirs, old, first, second] = ['theirs', 'old', 'first', 'second'].map(hashOf) as [
  string,
  string,
  string,
  string,
];
const marks = (...sends: readonly (readonly [send: number, hash: string])[]) =>
  marksOf(
    'app',
    sends.map(([send, hash]) => markName('app', send, hash)),
  );
const names = (...sends: readonly (readonly [send: number, hash: string])[]) =>
  sends.map(([send, hash]) => markName('app', send, hash));

test('marks are told from users, and those of one account from those of another', () => {
  const mine = markName('app', 7, first);
  expect(isMark(mine)).toBe(true);
  expect(isMark('sallyport:app')).toBe(false);
  expect(marksOf('app', ['default', mine, markName('app2', 7, first)])).toEqual([
    { name: mine, send: 7, hashStart: first.slice(0, 24) },
  ]);
});

test('only what a lower send than the kept one has set is removed, and never what has no mark', () => {
  const found = retirement(first, [theirs, old, first, second], marks([0, old], [9, first], [10, second]));
  expect(found).toEqual({ hashes: [old], marks: names([0, old]) });
});

test('a password that was set twice has its highest send', () => {
  const found = retirement(second, [first, second], marks([9, first], [10, second], [11, first]));
  expect(found).toEqual({ hashes: [], marks: names([9, first]) });
});

test('without a mark of what is to be kept nothing is removed', () => {
  expect(retirement(second, [old, first, second], marks([0, old], [9, first]))).toEqual({ hashes: [], marks: [] });
  expect(isUntold(second, [old, first, second], marks([0, old], [9, first]))).toBe(true);
  expect(isUntold(second, [theirs, second], marks([9, first]))).toBe(false);
  expect(isUntold(first, [old, first], marks([0, old], [9, first]))).toBe(false);
});
