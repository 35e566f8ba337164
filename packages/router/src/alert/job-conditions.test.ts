import type { GatewayUid } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { keyOf } from './alert.ts';
import { conditionsOfJobs } from './job-conditions.ts';

const gateway = 'gateway' as GatewayUid;

test('accounts that need a decision are one condition a gateway, jobs that run are none', () => {
  const counts = [
    { gateway, state: 'running', count: 3 },
    { gateway, state: 'attention', count: 2 },
    { gateway: 'other' as GatewayUid, state: 'attention', count: 1 },
  ];
  const found = conditionsOfJobs({ counts, troubles: [], stopped: null });
  expect(found.map((each) => [each.gateway, each.detail])).toEqual([
    ['gateway', { why: 'rotation', count: 2 }],
    ['other', { why: 'rotation', count: 1 }],
  ]);
  expect(found[0]?.summary).toContain('2 accounts need a decision');
});

test('accounts that an older credential still opens are a condition of their own', () => {
  const counts = [
    { gateway, state: 'attention', count: 1 },
    { gateway, state: 'leftover', count: 2 },
  ];
  const found = conditionsOfJobs({ counts, troubles: [], stopped: null });
  expect(found.map(({ kind, detail }) => [kind, detail])).toEqual([
    ['needs-attention', { why: 'rotation', count: 1 }],
    ['needs-attention', { why: 'rotation-leftover', count: 2 }],
  ]);
  expect(found[1]?.summary).toContain('still opens 2 accounts');
});

test('a timer that stands still is told with how far the clock is off', () => {
  const [only] = conditionsOfJobs({ counts: [], troubles: [], stopped: { why: 'jumped', byMs: -400_000 } });
  expect(only?.detail).toEqual({ why: 'scheduler-stopped', seconds: -400 });
});

test('rotations that failed, were missed, are late or were not followed are each a condition of their gateway', () => {
  const troubles = [
    { gateway, what: 'failed', count: 2 },
    { gateway, what: 'after', count: 1 },
    { gateway: null, what: 'missed', count: 1 },
  ] as const;
  const found = conditionsOfJobs({ counts: [], troubles, stopped: null });
  expect(found.map((each) => [each.kind, each.gateway, each.detail])).toEqual([
    ['needs-attention', 'gateway', { why: 'rotation-failed', count: 2 }],
    ['needs-attention', 'gateway', { why: 'rotation-after', count: 1 }],
    ['needs-attention', null, { why: 'rotation-missed', count: 1 }],
  ]);
  expect(new Set(found.map(keyOf)).size).toBe(3);
});
