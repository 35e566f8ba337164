import { randomBytes } from 'node:crypto';
import { type AfterCounts, type JobWhy, type LinkParams, PamError } from '@sallyport/protocol';
import type { RunEffect, RunEvent } from '@sallyport/rotation';
import { callWithinMs, type HeldJob, type RunJobDeps } from './job-deps.ts';
import type { JobNotes } from './job-notes.ts';

/** Re-checks of an account whose target keeps no late write out (section 7). */
const recheckMs = [60_000, 15 * 60_000, 24 * 3_600_000];
/** The job goes on elsewhere, if at all. Out of step: nothing this instance signs is taken any more (`EventChain`, E2). */
const gone: readonly string[] = [
  'PAM_JOB_FENCED',
  'PAM_JOB_ENDED',
  'PAM_LEASE_LOST',
  'PAM_JOB_POISON',
  'PAM_AUDIT_SEQUENCE',
];
const away: readonly string[] = [
  'PAM_LEG_FAILED',
  'PAM_TIMEOUT',
  'PAM_STORE_AWAY',
  'PAM_RATE_LIMITED',
  'PAM_ROUTER_UNREACHABLE',
];

/** The store cannot be asked now; asking again later may do. */
export const isStoreAway = (error: unknown): boolean => error instanceof PamError && away.includes(error.code);

/** By this the store knows a question that it answered before. */
export const newKey = (): string => randomBytes(12).toString('base64url');

/** One job's side of the store: every answer is an event, and so is that there is none. */
export interface JobStore {
  ask(what: () => Promise<RunEvent>): Promise<RunEvent>;
  /** Told again after its answer was lost it is the same report, by its key. */
  report(what: LinkParams<'job.report'>['what'], answer: RunEvent): Promise<RunEvent>;
  promote(version: number): Promise<RunEvent>;
  wait(effect: RunEffect & { do: 'wait' }): Promise<RunEvent>;
  /** How what came after the rotation went: told with the end. */
  counted(counts: AfterCounts | null): void;
  /** `rechecks`: the target may let a late write in, so an account that was rotated is checked again later. */
  finish(outcome: (RunEffect & { do: 'finish' })['outcome'], why: JobWhy, rechecks: boolean): Promise<RunEvent>;
}

export function createJobStore({ opened, claimed }: HeldJob, notes: JobNotes, deps: RunJobDeps): JobStore {
  const { job, record } = opened.offer;
  const at = { job, epoch: claimed.epoch };
  let after: AfterCounts | null = null;

  async function ask(what: () => Promise<RunEvent>): Promise<RunEvent> {
    try {
      return await what();
    } catch (reason) {
      const error = PamError.from(reason, 'PAM_INTERNAL', 'the store could not be asked');
      if (gone.includes(error.code)) return { type: 'fenced' };
      if (isStoreAway(error)) return { type: 'store-away' };
      deps.log.error('a step of a job failed', { job, code: error.code, error: error.message });
      notes.say('error', error.message);
      return { type: 'impossible', why: 'internal' };
    }
  }

  return {
    ask,
    counted: (counts) => {
      after = counts;
    },
    report: (what, answer) =>
      ask(async () => {
        await deps.call('job.report', { ...at, key: reportKey(what), what, note: null }, { timeoutMs: callWithinMs });
        return answer;
      }),
    promote: (version) =>
      ask(async () => {
        const content = { ...at, version };
        const answer = await deps.events.deliver({ act: 'job.promote', on: [record, job], content }, (signed) =>
          deps.call('job.promote', { ...content, signed }, { timeoutMs: callWithinMs }),
        );
        if (answer.kind === 'promoted') return { type: 'promoted' };
        notes.say('edited', `the record is at revision ${answer.rev}, the run began with ${claimed.base}`);
        return { type: 'edited' };
      }),
    wait: (effect) =>
      ask(async () => {
        const inMs = effect.untilMs === null ? effect.ms : effect.untilMs - deps.runtime.nowMs();
        const params = {
          ...at,
          inMs: Math.min(86_400_000, Math.max(0, Math.ceil(inMs))),
          why: effect.why,
          note: await notes.sealAll(),
        };
        await deps.call('job.wait', params, { timeoutMs: callWithinMs });
        return { type: 'recorded' };
      }),
    finish: (outcome, why, rechecks) =>
      ask(async () => {
        const isRotated = outcome === 'done' && (why === 'rotated' || why === 'not-retired');
        const content = {
          ...{ ...at, outcome, why, note: await notes.sealAll() },
          recheckMs: isRotated && rechecks ? recheckMs : [],
          ...(after === null ? {} : { after }),
        };
        await deps.events.deliver({ act: 'job.finish', on: [record, job], content }, (signed) =>
          deps.call('job.finish', { ...content, signed }, { timeoutMs: callWithinMs }),
        );
        return { type: 'recorded' };
      }),
  };
}

function reportKey(what: LinkParams<'job.report'>['what']): string {
  switch (what.kind) {
    case 'wrote':
      return `wrote-${what.send}-${what.outcome}`;
    case 'verified':
      return `verified-${what.version}`;
    case 'converged':
      return `converged-${what.agreed ? 'all' : 'some'}`;
    case 'retired':
      return `retired-${what.version}`;
    case 'follow-up':
      return `${what.state}-${what.name}`;
    case 'waits':
      return newKey();
    default:
      return what satisfies never;
  }
}
