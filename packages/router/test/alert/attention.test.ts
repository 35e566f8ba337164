import type { GatewayUid, InstanceId } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { createAttentionDesk } from '../../src/alert/attention.ts';

const about = (n: number) => ({ gateway: 'g' as GatewayUid, instance: `i${n}` as InstanceId });
function desk() {
  const clock = { ms: 0 };
  const made = createAttentionDesk(600_000, () => clock.ms);
  const shown = (): unknown[] => made.current().map(({ instance }) => instance);
  return { ...made, clock, shown };
}

test('one refusal of a duplicate may be an instance that meets its own old link: two within a minute need somebody', () => {
  const { note, clock, shown } = desk();
  note('instance-duplicate', about(1));
  expect(shown()).toEqual([]);
  clock.ms = 61_000;
  note('instance-duplicate', about(1));
  note('instance-duplicate', about(2));
  expect(shown()).toEqual([]);
  clock.ms = 70_000;
  note('instance-duplicate', about(1));
  expect(shown()).toEqual(['i1']);
});

test('what was noted is current for its time after it was last noted often enough, and then no more', () => {
  const { note, clock, shown } = desk();
  for (const ms of [0, 1_000, 500_000]) {
    clock.ms = ms;
    note('instance-duplicate', about(1));
  }
  clock.ms = 600_999;
  expect(shown()).toEqual(['i1']);
  clock.ms = 601_000;
  expect(shown()).toEqual([]);
});

test('however many identities are duplicated, what is noted is bounded', () => {
  const { note, shown } = desk();
  for (let n = 0; n < 1_000; n += 1) for (let twice = 0; twice < 2; twice += 1) note('instance-duplicate', about(n));
  expect(shown().length).toBeLessThanOrEqual(200);
  expect(shown().at(-1)).toBe('i999');
});
