import { PamError } from '@sallyport/protocol';
import {
  type Clocks,
  elapsedMs,
  type Fence,
  type KindSession,
  type RunEffect,
  type RunEvent,
} from '@sallyport/rotation';
import type { Versions } from '../versions.ts';
import type { Acting } from './acting.ts';
import { callWithinMs, type HeldJob, type RunJobDeps } from './job-deps.ts';
import type { JobNotes } from './job-notes.ts';
import { type JobStore, newKey } from './job-store.ts';
import type { CandidateKeeping } from './keep-candidate.ts';
import type { TargetSession } from './target-session.ts';

/** A + this: a write that did not answer by then never will. */
const answerGraceMs = 2_000;

/** Asks for the right to write once, and writes on the very connection that stood when it was asked. */
export interface Writing {
  permit(): Promise<RunEvent>;
  write(effect: RunEffect & { do: 'write' }): Promise<RunEvent>;
  /** What the login held for each write that was permitted. */
  fences(): readonly Fence[];
}

export function createWriting(
  { opened, claimed, lease, signal }: HeldJob,
  parts: {
    /** What every login of the kind holds at least. */
    readonly fence: Fence;
    readonly acting: Acting;
    readonly session: TargetSession;
    readonly store: JobStore;
    readonly notes: JobNotes;
    readonly versions: Versions;
    readonly keeping: CandidateKeeping;
  },
  deps: RunJobDeps,
): Writing {
  const { account, names } = opened;
  const { job } = opened.offer;
  const { acting, session, store, notes, versions, keeping } = parts;
  const adds = parts.fence === 'additive' ? { adds: true } : {};
  const fences: Fence[] = [];
  /** Void once its connection is closed. */
  let permitted: { readonly on: KindSession; readonly askedAt: Clocks } | null = null;

  async function permit(): Promise<RunEvent> {
    return acting.act(async (_where, wire) => {
      const on = session.current();
      if (on === null) return { type: 'store-away' };
      return store.ask(async () => {
        await keeping.taken();
        const address = await notes.seal({ address: wire.dialled() ?? '' });
        const askedAt = deps.clocks();
        const { send } = await deps.call(
          'job.permit',
          { job, epoch: claimed.epoch, key: newKey(), mark: session.mark(), ...adds, address },
          { timeoutMs: callWithinMs },
        );
        permitted = { on, askedAt };
        fences.push(session.fence());
        keeping.permitted(send);
        return { type: 'permitted', send };
      });
    });
  }

  async function write(effect: RunEffect & { do: 'write' }): Promise<RunEvent> {
    const times = deps.lease.times();
    const next = await versions.credential(effect.version);
    const old = await versions.credential(effect.old).catch(() => null);
    const limit = new AbortController();
    const using = session.current();
    const permitNow = permitted;
    permitted = null;
    // From here to the write there is no turn in between: the check holds for what goes out.
    if (using === null || permitNow?.on !== using || deps.lease.acting() !== lease || signal.aborted)
      return { type: 'not-sent' };
    if (elapsedMs(permitNow.askedAt, deps.clocks()) > times.quiesceMs) return { type: 'not-sent' };
    const order = { account, send: effect.send, next, old, limitMs: times.effectMs };
    const writing = using.apply(order, AbortSignal.any([signal, limit.signal]));
    const isLate = elapsedMs(permitNow.askedAt, deps.clocks()) > times.quiesceMs;
    const cancel = deps.runtime.schedule(times.effectMs + answerGraceMs, () =>
      limit.abort(new PamError('PAM_TARGET_TIMEOUT', 'the write did not answer')),
    );
    try {
      const outcome = await writing;
      if (outcome.kind === 'applied') session.answered(using);
      else notes.say(`write ${effect.send}`, `${outcome.kind}: ${outcome.message}`);
      return { type: 'wrote', outcome: outcome.kind };
    } catch (reason) {
      notes.say(`write ${effect.send}`, String(reason));
      return { type: 'wrote', outcome: 'unknown' };
    } finally {
      cancel();
      if (isLate) await tellLate(effect.send);
    }
  }

  /** This process stood still between the check and the write: whoever promoted meanwhile must look again. */
  async function tellLate(send: number): Promise<void> {
    deps.log.error('a write went out later than it was permitted', { job, send });
    const params = { job, account: names.account, send, note: await notes.seal({ late: send }) };
    await deps
      .call('job.late', params, { timeoutMs: callWithinMs })
      .catch((error: PamError) => deps.log.error('the late write could not be told', { job, send, code: error.code }));
  }

  return { permit, write, fences: () => fences };
}
