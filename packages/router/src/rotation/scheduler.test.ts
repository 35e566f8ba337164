import type { ItemUid, JobId } from '@sallyport/protocol';
import { createFakeClock } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import type { AuditTrail } from '../audit/index.ts';
import type { CameDue } from './rotation-store.ts';
import { createScheduler, type SchedulerDeps } from './scheduler.ts';

type Ran = Parameters<SchedulerDeps['store']['runSchedule']>[0];

/** A store with these records due, each once, and what was asked of it. */
function world(due: readonly number[], seenMs: number | null = null) {
  const clock = createFakeClock(10_000_000_000);
  const every = (ms: number, fn: () => void): (() => void) => clock.after(ms, fn);
  const waiting = new Map(due.map((dueAtMs, i) => [`record${i}` as ItemUid, dueAtMs]));
  const ran: Ran[] = [];
  const told: string[] = [];
  const failures: string[] = [];
  const noted: number[] = [];
  const audit = { later: (kind: string) => told.push(kind) } as unknown as AuditTrail;
  const store: SchedulerDeps['store'] = {
    listDue: async ({ nowMs }) => ({
      schedules: [...waiting]
        .filter(([, dueAtMs]) => dueAtMs <= nowMs)
        .map(([record, dueAtMs]) => ({ record, dueAtMs })),
      rechecks: [],
    }),
    runSchedule: async (input): Promise<CameDue> => {
      waiting.delete(input.record);
      ran.push(input);
      return { record: input.record, dueAtMs: input.dueAtMs, job: input.job, skipped: 0 };
    },
    runRecheck: async () => null,
  };
  let jobs = 0;
  const scheduler = createScheduler({
    ...{ store, audit, clock: { ...clock, every }, bootMs: clock.monotonicMs },
    newJobId: () => `job${jobs++}` as JobId,
    wall: { seenMs, note: async (wallMs) => void noted.push(wallMs) },
    came: () => told.push('came'),
    failed: (error) => failures.push(String(error)),
  });
  return { clock, scheduler, ran, told, failures, noted };
}

test('what falls due comes at once, what lay behind comes spread', async () => {
  const { clock, scheduler, ran, told } = world([1, 2, 3, 10_000_000_000 + 5_000]);
  await scheduler.start();
  await scheduler.look();
  expect(ran.map((each) => each.spreadMs)).toEqual([0, 2_000, 4_000]);
  await clock.advance(5_000);
  await scheduler.look();
  expect(ran.at(-1)).toMatchObject({ record: 'record3', spreadMs: 0 });
  expect(told.filter((kind) => kind === 'came')).toHaveLength(2);
});

test('a clock that jumped, or stands before what was seen, runs nothing and says so once', async () => {
  const jumped = world([1]);
  await jumped.scheduler.start();
  jumped.clock.jumpWall(400_000);
  await jumped.scheduler.look();
  await jumped.scheduler.look();
  expect([jumped.ran, jumped.told]).toEqual([[], ['scheduler.stopped']]);
  expect(jumped.failures).toEqual([expect.stringContaining('jumped by 400 s')]);
  expect(jumped.scheduler.state().stopped).toEqual({ why: 'jumped', byMs: 400_000 });

  const behind = world([1], 10_000_060_000);
  await behind.scheduler.start();
  await behind.scheduler.look();
  expect([behind.ran, behind.noted]).toEqual([[], []]);
  expect(behind.scheduler.state().stopped?.why).toBe('behind');
});

test('the wall time is noted while it is trusted', async () => {
  const { clock, scheduler, noted } = world([]);
  await scheduler.start();
  await clock.advance(10_000);
  await scheduler.look();
  await scheduler.look();
  expect(noted).toEqual([10_000_000_000, 10_000_010_000]);
});
