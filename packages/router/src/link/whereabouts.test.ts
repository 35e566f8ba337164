import { type InstanceId, PamError } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { createWhereabouts } from './whereabouts.ts';

const instance = (n: number) => `instance-${n}`.padEnd(22, '0') as InstanceId;

function play() {
  let nowMs = 0;
  const places = createWhereabouts({ monotonicMs: () => nowMs, graceMs: 5_000 });
  const where = (n: number): string => {
    try {
      return places.explain(instance(n));
    } catch (reason) {
      return reason instanceof PamError ? reason.code : 'foreign';
    }
  };
  return {
    ...places,
    where,
    at: (ms: number) => {
      nowMs = ms;
    },
  };
}

test('after a start everybody is waited for as long as the grace lasts', () => {
  const { where, at } = play();
  expect(where(1)).toBe('PAM_STREAM_NOT_HERE');
  at(5_000);
  expect(where(1)).toBe('PAM_STREAM_GONE');
});

test('an instance whose link closed is lost when it is not back within the grace, one we cut is not, one that said bye is', () => {
  const { where, at, left, joined } = play();
  at(60_000);
  left(instance(1), 'closed');
  left(instance(2), 'cut');
  left(instance(3), 'bye');
  expect([1, 2, 3].map(where)).toEqual(['PAM_STREAM_NOT_HERE', 'PAM_STREAM_NOT_HERE', 'PAM_STREAM_GONE']);
  at(64_999);
  expect(where(1)).toBe('PAM_STREAM_NOT_HERE');
  at(65_000);
  expect([1, 2].map(where)).toEqual(['PAM_STREAM_GONE', 'PAM_STREAM_NOT_HERE']);
  joined(instance(1));
  left(instance(1), 'closed');
  expect(where(1)).toBe('PAM_STREAM_NOT_HERE');
});
