import { expect, test } from 'vitest';
import { type ReadinessFacts, reasonsNotReady } from './readiness.ts';

const budget = { descriptors: 20_000, undecided: 500, reserved: 5, waiting: 700, legs: 1_000, parked: 100 };
const well: ReadinessFacts = {
  phase: 'running',
  storeAnswers: true,
  relay: { legs: 10, budget },
  descriptors: { open: 100, limit: 20_000 },
};
const codes = (facts: Partial<ReadinessFacts>): string[] =>
  reasonsNotReady({ ...well, ...facts }).map((reason) => reason.code);

test('a router is ready when store and relay answer and descriptors are left', () => {
  expect(codes({})).toEqual([]);
  expect(codes({ descriptors: null })).toEqual([]);
});

test('every part that does not answer is named, all at once', () => {
  expect(codes({ storeAnswers: false, relay: null, descriptors: { open: 19_001, limit: 20_000 } })).toEqual([
    ...['store', 'relay', 'descriptors'],
  ]);
  expect(codes({ relay: { legs: 950, budget } })).toEqual(['legs']);
  expect(codes({ relay: { legs: 949, budget } })).toEqual([]);
});

test('a router that starts or stops says only that, whatever else is away', () => {
  expect(codes({ phase: 'starting', storeAnswers: false, relay: null })).toEqual(['starting']);
  expect(codes({ phase: 'stopping' })).toEqual(['stopping']);
});
