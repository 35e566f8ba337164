import { type InstanceId, PamError } from '@sallyport/protocol';
import { createFakeClock, settle } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import { createWhereabouts } from './whereabouts.ts';

const instance = (n: number) => `instance-${n}`.padEnd(22, '0') as InstanceId;

function play() {
  let nowMs = 0;
  const places = createWhereabouts({
    monotonicMs: () => nowMs,
    after: () => () => undefined,
    reserveMs: 1_000,
    graceMs: () => 5_000,
  });
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

test('an instance that died is lost after the reserve, one whose link broke after the grace, one we cut never, one that said bye at once', () => {
  const { where, at, left, joined } = play();
  at(60_000);
  left(instance(1), 'died', 5);
  left(instance(2), 'broken', 4);
  left(instance(3), 'cut', 3);
  left(instance(4), 'bye', 2);
  const notHere = 'PAM_STREAM_NOT_HERE';
  expect([1, 2, 3, 4].map(where)).toEqual([notHere, notHere, notHere, 'PAM_STREAM_GONE']);
  at(60_999);
  expect(where(1)).toBe(notHere);
  at(61_000);
  expect([1, 2, 3].map(where)).toEqual(['PAM_STREAM_GONE', notHere, notHere]);
  at(65_000);
  expect([2, 3].map(where)).toEqual(['PAM_STREAM_GONE', notHere]);
  joined(instance(1));
  left(instance(1), 'died', 5);
  expect(where(1)).toBe(notHere);
});

test('one we cut is lost as soon as the pool says so, and waited for again once it was back', () => {
  const { where, at, left, lost, joined } = play();
  at(60_000);
  left(instance(1), 'cut', 5);
  at(149_999);
  expect(where(1)).toBe('PAM_STREAM_NOT_HERE');
  lost(instance(1));
  expect(where(1)).toBe('PAM_STREAM_GONE');
  joined(instance(1));
  left(instance(1), 'cut', 5);
  expect(where(1)).toBe('PAM_STREAM_NOT_HERE');
});

test('when most die at once it is a balancer, or us: all of them are waited for as long as after a start', () => {
  const { where, at, left, joined } = play();
  at(60_000);
  for (const n of [1, 2, 3]) left(instance(n), 'died', 3 - n);
  joined(instance(2));
  at(64_999);
  expect([1, 3].map(where)).toEqual(['PAM_STREAM_NOT_HERE', 'PAM_STREAM_NOT_HERE']);
  at(65_000);
  expect([1, 3].map(where)).toEqual(['PAM_STREAM_GONE', 'PAM_STREAM_GONE']);
});

test('after a start who asks for an instance waits until it joins, a second at most; for one that left, or is lost, not at all', async () => {
  const clock = createFakeClock();
  const places = createWhereabouts({ ...clock, reserveMs: 1_000, graceMs: () => 5_000 });
  const answers: string[] = [];
  const ask = (n: number): void =>
    void places.arrival(instance(n)).then(
      () => answers.push(`${n} is here`),
      (reason: PamError) => answers.push(`${n} ${reason.code}`),
    );
  for (const n of [1, 1, 2]) ask(n);
  await settle();
  expect(answers).toEqual([]);
  places.joined(instance(1));
  await settle();
  expect(answers).toEqual(['1 is here', '1 is here']);
  await clock.advance(1_000);
  await settle();
  expect(answers.at(-1)).toBe('2 PAM_STREAM_NOT_HERE');
  places.left(instance(1), 'died', 1);
  ask(1);
  await settle();
  expect(answers.at(-1)).toBe('1 PAM_STREAM_NOT_HERE');
  await clock.advance(4_000);
  ask(2);
  await settle();
  expect(answers.at(-1)).toBe('2 PAM_STREAM_GONE');
  expect(clock.pending()).toBe(0);
});
