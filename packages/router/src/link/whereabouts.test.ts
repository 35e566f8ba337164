import { type InstanceId, PamError } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { createWhereabouts } from './whereabouts.ts';

const instance = (n: number) => `instance-${n}`.padEnd(22, '0') as InstanceId;

function play() {
  let nowMs = 0;
  const places = createWhereabouts({ monotonicMs: () => nowMs, reserveMs: 1_000, graceMs: 5_000 });
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

test('an instance whose link closed is lost when it is not back within the reserve, one we cut is not', () => {
  const { where, at, left, joined } = play();
  at(60_000);
  left(instance(1), 'closed', 5);
  left(instance(2), 'cut', 4);
  left(instance(3), 'bye', 3);
  expect([1, 2, 3].map(where)).toEqual(['PAM_STREAM_NOT_HERE', 'PAM_STREAM_NOT_HERE', 'PAM_STREAM_GONE']);
  at(61_000);
  expect([1, 2].map(where)).toEqual(['PAM_STREAM_GONE', 'PAM_STREAM_NOT_HERE']);
  joined(instance(1));
  left(instance(1), 'closed', 5);
  expect(where(1)).toBe('PAM_STREAM_NOT_HERE');
});

test('when most links close at once it is us: the last of them are waited for as long as after a start', () => {
  const { where, at, left } = play();
  at(60_000);
  for (const n of [1, 2, 3]) left(instance(n), 'closed', 3 - n);
  at(61_500);
  expect(where(3)).toBe('PAM_STREAM_NOT_HERE');
  at(65_000);
  expect(where(3)).toBe('PAM_STREAM_GONE');
});
