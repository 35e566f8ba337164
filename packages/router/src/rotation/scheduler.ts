import type { JobId } from '@sallyport/protocol';
import type { AuditTrail } from '../audit/index.ts';
import type { Clock } from '../clock.ts';
import type { CameDue, RotationStore } from './rotation-store.ts';
import { newWallWatch, stepWallWatch, type WallReading, type WallStop, type WallWatch } from './step-wall-watch.ts';

export interface SchedulerDeps {
  readonly store: Pick<RotationStore, 'listDue' | 'runSchedule' | 'runRecheck'>;
  readonly audit: AuditTrail;
  readonly clock: Clock;
  readonly bootMs: () => number;
  readonly newJobId: () => JobId;
  readonly wall: { readonly seenMs: number | null; readonly note: (wallMs: number) => Promise<void> };
  /** Jobs were made. */
  readonly came: () => void;
  readonly failed: (error: unknown) => void;
}

export interface SchedulerState {
  /** Why nothing is due any more, until the router starts anew. */
  readonly stopped: WallStop | null;
  /** Occurrences since the start that could not be run. */
  readonly missed: number;
}

/**
 * The timer of schedules and re-checks. What falls due becomes a job in the transaction that moves the schedule on; of
 * two routers one does it. What lies behind, because no router ran, comes once, spread.
 */
export interface Scheduler {
  start(): Promise<void>;
  look(): Promise<void>;
  state(): SchedulerState;
}

const atOnce = 50;
const noteEveryMs = 10_000;
/** Late by more than this is an outage: so much apart, at most that long in all. */
const outage = { afterMs: 60_000, apartMs: 2_000, mostMs: 900_000 } as const;

export function createScheduler(deps: SchedulerDeps): Scheduler {
  const { store, clock, audit } = deps;
  const reading = (): WallReading => ({
    wallMs: clock.nowMs(),
    monotonicMs: clock.monotonicMs(),
    bootMs: deps.bootMs(),
  });
  let watch: WallWatch = newWallWatch(reading(), deps.wall.seenMs);
  let isLooking = false;
  let notedMs = Number.NEGATIVE_INFINITY;
  let missed = 0;
  /** Late ones that were spread lately; the count starts anew when nothing is late. */
  let spread = 0;

  function stop(why: WallStop): void {
    const seconds = Math.round(why.byMs / 1_000);
    audit.later('scheduler.stopped', { why: why.why, seconds });
    deps.failed(
      new Error(`the clock of this machine cannot be trusted (${why.why} by ${seconds} s): schedules do not run`),
    );
  }

  async function look(): Promise<void> {
    if (watch.stopped !== null || isLooking) return;
    isLooking = true;
    try {
      watch = stepWallWatch(watch, reading());
      if (watch.stopped !== null) return stop(watch.stopped);
      await noteWall();
      await runDue();
    } catch (reason) {
      deps.failed(reason);
    } finally {
      isLooking = false;
    }
  }

  async function noteWall(): Promise<void> {
    const nowMs = clock.monotonicMs();
    if (nowMs - notedMs < noteEveryMs) return;
    await deps.wall.note(clock.nowMs());
    notedMs = nowMs;
  }

  async function runDue(): Promise<void> {
    const due = await store.listDue({ nowMs: clock.nowMs(), limit: atOnce });
    let made = 0;
    for (const { record, dueAtMs } of due.schedules) {
      const nowMs = clock.nowMs();
      const isLate = nowMs - dueAtMs > outage.afterMs;
      const spreadMs = isLate ? Math.min(outage.mostMs, outage.apartMs * spread++) : 0;
      const came = await store.runSchedule({ record, dueAtMs, job: deps.newJobId(), spreadMs, nowMs });
      if (came !== null) made += tell(came);
    }
    if (due.schedules.length === 0) spread = 0;
    for (const id of due.rechecks) {
      const job = await store.runRecheck({ id, job: deps.newJobId(), nowMs: clock.nowMs() });
      if (job !== null) made += 1;
    }
    if (made > 0) deps.came();
  }

  function tell({ record, dueAtMs, job, skipped }: CameDue): number {
    if (job === null) {
      missed += 1;
      audit.later('job.missed', { record, dueAtMs, skipped });
      return 0;
    }
    audit.later('job.due', { job, record, dueAtMs, skipped });
    return 1;
  }

  return {
    start: async () => {
      if (watch.stopped === null) await noteWall();
      else stop(watch.stopped);
    },
    look,
    state: () => ({ stopped: watch.stopped, missed }),
  };
}
