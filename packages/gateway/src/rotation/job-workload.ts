import {
  type GatewayUid,
  type JobId,
  type JobWhy,
  jobWhySchema,
  type LinkParams,
  type LinkResult,
  PamError,
  type Peer,
} from '@sallyport/protocol';
import type { Clocks, TargetKind } from '@sallyport/rotation';
import { type LogState, sealNote, type SigningKey } from '@sallyport/seal';
import type {
  DialDeps,
  EventChain,
  JobWorkload,
  Log,
  NeverEndpoint,
  Runtime,
  WorkloadContext,
} from '../agent/index.ts';
import { type CandidateJournal, createJournalOffers } from './journal/index.ts';
import { createLeaseRunner } from './lease-runner.ts';
import { openJob } from './open-job.ts';
import type { RunJobDeps } from './execute/job-deps.ts';
import { createKeptSessions, keepLimits } from './execute/kept-sessions.ts';
import { type RunningJob, runJob } from './run-job.ts';
import { createTargetIo } from './target-io.ts';

export interface JobWorkloadDeps {
  readonly gateway: GatewayUid;
  readonly app: RunJobDeps['app'];
  readonly poolKey: SigningKey;
  readonly kinds: readonly TargetKind[];
  readonly events: EventChain;
  readonly runtime: Runtime;
  readonly clocks: () => Clocks;
  readonly log: Log;
  readonly dial: DialDeps;
  readonly never: () => readonly NeverEndpoint[];
  readonly localAddresses: () => readonly string[];
  readonly trust: () => LogState;
  readonly keys: RunJobDeps['keys'];
  readonly journal: CandidateJournal;
  readonly after: RunJobDeps['after'];
  readonly maxJobs: number;
  /** How long each step took, for who watches. */
  readonly step: (name: string, ms: number) => void;
}

/** Jobs of an instance, as a drain and the health page see them. */
interface RunningJobs extends JobWorkload {
  count(): number;
  /** Takes nothing new; what runs goes on, or is given back at its next pause. */
  hold(held: boolean): void;
  /** Settles when nothing runs, or after `ms`. */
  drained(ms: number): Promise<void>;
  /** Ends what runs, gives the lease back and asks for no other. */
  stop(): Promise<void>;
}

/** A job that was told to end has closed its connections within this. */
const abortWithinMs = 5_000;

/**
 * Jobs: offer → opened and checked → accepted → claimed → run to the end or given back.
 *
 * B1 nothing but the router is dialled before the claim was answered.
 * B2 no effect at a target begins without the work lease that the claim was made under.
 * B3 what the target says reaches the router sealed; the router gets words of a closed list.
 *
 * @see docs/adr/0014-rotation-machine.md, docs/adr/0015-orders-and-candidates.md
 */
export function createJobWorkload(deps: JobWorkloadDeps): RunningJobs {
  const { runtime, log } = deps;
  const lease = createLeaseRunner(deps);
  const offers = createJournalOffers(deps);
  const running = new Map<JobId, RunningJob>();
  let call: Peer<'instance'>['call'] | null = null;
  let opening = 0;
  let isHeld = false;

  const router: Peer<'instance'>['call'] = async (method, params, options) => {
    if (call !== null) return call(method, params, options);
    throw new PamError('PAM_LEG_FAILED', 'there is no link to the router now');
  };
  const kept = createKeptSessions(runtime, keepLimits, (error) =>
    log.debug('a kept session did not close', { error: String(error) }),
  );
  const runDeps: RunJobDeps = {
    ...deps,
    lease,
    kept,
    call: router,
    isDraining: () => isHeld,
    ioOf: (place) =>
      createTargetIo(place, {
        ...{ dial: deps.dial, runtime },
        policy: {
          networks: place.networks,
          onlyInside: false,
          never: deps.never(),
          localAddresses: deps.localAddresses(),
        },
      }),
  };

  async function offer(params: LinkParams<'job.offer'>, context: WorkloadContext): Promise<LinkResult<'job.offer'>> {
    const refuse = (refused: 'busy' | 'draining' | 'no-lease'): LinkResult<'job.offer'> => ({
      ...{ kind: 'refused', class: refused },
      ...{ why: 'none', note: null },
    });
    if (running.has(params.job)) return { kind: 'accepted' };
    if (isHeld) return refuse('draining');
    if (context.held?.epoch !== params.slot) return refuse('busy');
    if (running.size + opening >= deps.maxJobs) return refuse('busy');
    const held = lease.acting();
    if (held === null) return refuse('no-lease');
    opening += 1;
    try {
      const opened = await openJob(params, { ...deps, nowMs: runtime.nowMs }, context);
      const job = runJob(opened, held, runDeps);
      running.set(params.job, job);
      void job.over.then(() => running.delete(params.job));
      return { kind: 'accepted' };
    } catch (reason) {
      const error = PamError.from(reason, 'PAM_INTERNAL', 'the job could not be opened');
      log.warn('job refused', { job: params.job, code: error.code, error: error.message });
      const why = whyOf(error);
      const gen = context.log().apps.get(deps.app)?.currentGen ?? 1;
      const place = { app: deps.app, job: params.job, gen };
      const text = { refused: `${error.code}: ${error.message}` };
      const envelope = await sealNote(place, text, await context.factsKey(gen));
      return { kind: 'refused', class: 'denied', why, note: { gen, envelope } };
    } finally {
      opening -= 1;
    }
  }

  /** Whether nothing runs, after at most `ms`. */
  async function overWithin(ms: number): Promise<boolean> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const cancel = runtime.schedule(ms, resolve);
    await Promise.race([Promise.all([...running.values()].map(({ over }) => over)), late]);
    cancel();
    return running.size === 0;
  }

  return {
    offer,
    cancel: (job) => running.get(job)?.cancel(),
    kinds: () => ({ kinds: deps.kinds.map(({ description }) => description) }),
    linked: (peer) => {
      call = peer;
      lease.linked(peer);
      offers.linked(peer);
    },
    unlinked: () => {
      call = null;
      lease.unlinked();
      offers.unlinked();
    },
    count: () => running.size,
    hold: (held) => {
      isHeld = held;
    },
    drained: async (ms) => {
      isHeld = true;
      await overWithin(ms);
    },
    stop: async () => {
      isHeld = true;
      for (const job of running.values()) job.abort();
      kept.stop();
      // The lease is given back only by who does nothing under it any more; else others wait until it is over.
      if (await overWithin(abortWithinMs)) await lease.release();
      lease.stop();
    },
  };
}

/** What stands in the error where it is of the closed list, else the kind of error in a word of it. */
function whyOf(error: PamError): JobWhy {
  const said = jobWhySchema.safeParse(error.detail['why']);
  if (said.success) return said.data;
  if (error.code === 'PAM_ORDER_SPENT') return 'order-spent';
  if (error.code === 'PAM_ORDER_INVALID' || error.code.startsWith('PAM_TRUST_')) return 'order-invalid';
  return error.code.startsWith('PAM_SEAL_') || error.code === 'PAM_WRAP_INVALID' ? 'record-invalid' : 'internal';
}
