import type { AfterCounts } from '@sallyport/protocol';
import { type Fence, needsRechecks, type RunEffect, type RunEvent } from '@sallyport/rotation';
import { createVersions, versionBefore, type Versions } from '../versions.ts';
import { createActing, loginWithinMs } from './acting.ts';
import type { HeldJob, RunJobDeps } from './job-deps.ts';
import { createJobNotes } from './job-notes.ts';
import { createJobStore } from './job-store.ts';
import { createFollowUps } from './keep-follow-ups.ts';
import { createKeeping } from './keep-candidate.ts';
import { createFirstSeenKeeper } from './keep-first-seen.ts';
import { decideLapsed } from './lapsed-order.ts';
import { pauseJob } from './pause-job.ts';
import { askReplicas, retireOlder } from './settle-target.ts';
import { createStaging } from './stage-candidate.ts';
import { createTargetSession } from './target-session.ts';
import { createWriting } from './write-once.ts';

/** How a job ends. */
export type JobEnd = Pick<RunEffect & { do: 'finish' }, 'outcome' | 'why'>;

/** Does one effect of a run after the other: the only place where a job touches its target, the store and the vault. */
export interface Executor {
  readonly by: 'admin' | 'own';
  readonly fence: Fence;
  /** How a job ends that needs no run: scripts only, what follows once more, an order that is spent. Null: it runs. */
  early(): Promise<JobEnd | null>;
  execute(effect: RunEffect): Promise<RunEvent>;
  readonly believed: Versions['believed'];
  close(): Promise<void>;
}

function isWhole(counts: AfterCounts | null): boolean {
  if (counts === null) return true;
  return [counts.scripts, counts.services].every((one) => one.failed + one.unknown + one.skipped === 0);
}

export function createExecutor(held: HeldJob, deps: RunJobDeps): Executor {
  const { opened, claimed } = held;
  const { place, account, settings, offer } = opened;
  const by = place?.admin === null ? 'own' : 'admin';
  /** The least that every login of this kind holds; what this one holds decides about later looks (`needsRechecks`). */
  const fence = place?.kind.description.fence[by] ?? 'none';
  const versions = createVersions(
    claimed.versions,
    { app: deps.app, uid: offer.record, changes: settings.changes },
    { log: deps.trust, secretsKey: deps.keys.secretsKey },
  );
  const notes = createJobNotes(held, deps);
  const store = createJobStore(held, notes, deps);
  const acting = createActing(held, deps);
  const keepFirstSeen = createFirstSeenKeeper(held, notes, deps);
  const session = createTargetSession(held, { by, fence, acting, store, notes, versions, keepFirstSeen }, deps);
  const keeping = createKeeping(held, deps);
  const staging = createStaging(held, { store, notes, versions, keeping }, deps);
  const writing = createWriting(held, { fence, acting, session, store, notes, versions, keeping }, deps);
  const followUps = createFollowUps(held, { acting, store }, deps);
  /** What the account opens with, as far as this run knows. */
  let lastVersion = claimed.candidate ?? claimed.current;

  async function after(): Promise<AfterCounts | null> {
    await session.close();
    // Whoever takes over after the promotion was shown the record as it is now.
    const isRecorded = claimed.step === 'promoted' || offer.kind === 'after';
    const before = isRecorded ? versionBefore(claimed.versions, lastVersion) : null;
    const oldSecrets = before === null ? opened.secrets : await versions.secrets(before).catch(() => opened.secrets);
    const newSecrets = await versions.secrets(lastVersion).catch(() => opened.secrets);
    const { signal } = held;
    const { epoch } = claimed;
    const { mayAct, ioOf } = acting;
    const { counts, told } = await deps.after(opened, {
      ...{ oldSecrets, newSecrets, epoch, signal, mayAct, ioOf, keepFirstSeen, followUps },
    });
    store.counted(counts);
    if (told !== null) notes.keep('after', told);
    return counts;
  }

  async function rehearse(): Promise<RunEvent> {
    return acting
      .act(async () => {
        const using = session.current();
        if (using === null) return { type: 'rehearsed', holds: false };
        const found = await acting.within(loginWithinMs, () => using.check(account));
        notes.keep(
          'preconditions',
          found.map(({ what, holds, remedy }) => ({ what, holds, remedy })),
        );
        if (staging.fresh() === null) return { type: 'rehearsed', holds: false };
        return { type: 'rehearsed', holds: found.every((one) => one.holds) };
      })
      .catch((reason: unknown): RunEvent => {
        notes.say('rehearse', String(reason));
        return { type: 'rehearsed', holds: false };
      });
  }

  /** What is to stay is what the record holds, and what was allowed: not whatever the store calls the current one. */
  function earlyOfRetirement(): JobEnd | null {
    const kept = claimed.versions.find(({ n }) => n === claimed.current)?.envelope;
    const isRecords = kept !== undefined && kept === opened.items.item(offer.record).parts.secrets?.envelope;
    const isSpent = opened.orderBase !== null && opened.orderBase !== claimed.base;
    return isRecords && !isSpent ? null : { outcome: 'failed', why: 'order-spent' };
  }

  async function early(): Promise<JobEnd | null> {
    if (offer.kind === 'retire') return earlyOfRetirement();
    if (offer.kind === 'after') {
      if (opened.orderBase !== claimed.base) return { outcome: 'failed', why: 'order-spent' };
      return isWhole(await after()) ? { outcome: 'done', why: 'followed' } : { outcome: 'failed', why: 'not-followed' };
    }
    if (offer.kind !== 'rotate') return null;
    const { candidate, sends } = claimed;
    const { lapsed } = opened.allowed;
    const candidateOpens = lapsed !== null && candidate !== null && (await versions.opens(candidate));
    const ends = decideLapsed(lapsed, { candidateOpens, sends });
    if (ends !== null) return ends;
    if (settings.noop) {
      const counts = await after();
      // Here the scripts are the rotation: one that did not end well has not changed the account, as far as anybody knows.
      const { failed = 0, unknown = 0, skipped = 0 } = counts?.scripts ?? {};
      if (failed + unknown + skipped > 0) return { outcome: 'failed', why: 'script-failed' };
      return { outcome: 'done', why: 'scripts-only' };
    }
    const isFresh = sends.length === 0 && claimed.step !== 'promoted' && claimed.step !== 'done';
    const isSpent = opened.orderBase !== null && opened.orderBase !== claimed.base;
    return isFresh && isSpent ? { outcome: 'failed', why: 'order-spent' } : null;
  }

  async function execute(effect: RunEffect): Promise<RunEvent> {
    switch (effect.do) {
      case 'stage':
        return staging.stage();
      case 'connect':
        return session.connect(effect);
      case 'evict':
        return session.evict();
      case 'permit':
        return writing.permit();
      case 'write':
        return writing.write(effect);
      case 'report':
        return store.report({ kind: 'wrote', send: effect.send, outcome: effect.outcome }, { type: 'reported' });
      case 'probe':
        return session.probe(effect.version);
      case 'verified':
        lastVersion = effect.version;
        return store.report({ kind: 'verified', version: effect.version, send: effect.send }, { type: 'recorded' });
      case 'converge':
        return askReplicas(held, claimed.candidate ?? lastVersion, { acting, session, notes }, deps);
      case 'converged':
        return store.report({ kind: 'converged', agreed: effect.agreed }, { type: 'recorded' });
      case 'promote':
        lastVersion = effect.version;
        return store.promote(effect.version);
      case 'retire':
        return retireOlder(held, effect.version, { acting, session, notes, versions });
      case 'retired':
        return store.report({ kind: 'retired', version: effect.version }, { type: 'recorded' });
      case 'after':
        await after();
        return { type: 'after-done' };
      case 'rehearse':
        return rehearse();
      case 'pause':
        return pauseJob(held, effect, store, deps);
      case 'wait':
        return store.wait(effect);
      case 'finish':
        return store.finish(effect.outcome, effect.why, needsRechecks(fence, claimed.sends.length, writing.fences()));
      case 'abandon':
        return { type: 'recorded' };
      default:
        return effect satisfies never;
    }
  }

  return { by, fence, early, execute, believed: versions.believed, close: session.close };
}
