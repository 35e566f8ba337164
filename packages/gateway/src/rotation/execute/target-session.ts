import { createHmac, randomBytes } from 'node:crypto';
import { PamError } from '@sallyport/protocol';
import {
  type Fence,
  type KindSession,
  type LoginAnswer,
  type NotOpened,
  type RunEffect,
  type RunEvent,
  staysTaken,
} from '@sallyport/rotation';
import type { Versions } from '../versions.ts';
import { type Acting, loginWithinMs } from './acting.ts';
import { createLoginBudget, type LoginTry } from './buy-login.ts';
import type { HeldJob, RunJobDeps } from './job-deps.ts';
import type { JobNotes } from './job-notes.ts';
import type { JobStore } from './job-store.ts';
import type { Place } from '../open-job.ts';
import type { TargetIo } from '../target-io.ts';
import type { createFirstSeenKeeper } from './keep-first-seen.ts';
import type { KeptSession } from './kept-sessions.ts';

/** The job's connection to its target: one at a time, logged in. */
export interface TargetSession {
  current(): KindSession | null;
  /** Highest send number that the target showed at the last login. */
  mark(): number;
  /** What the last login holds for the account. */
  fence(): Fence;
  connect(effect: RunEffect & { do: 'connect' }): Promise<RunEvent>;
  /** A write on this session was applied: nothing of it is under way any more. */
  answered(on: KindSession): void;
  /** For what comes after the secret is in force: with the administrator, or as the account with its new secret. */
  reconnected(version: number): Promise<KindSession | Exclude<LoginAnswer, 'opens'>>;
  evict(): Promise<RunEvent>;
  /** A fresh login from a new connection, which is closed again. */
  probe(version: number): Promise<RunEvent>;
  close(): Promise<void>;
}

const placeKey = randomBytes(32);

/** One text for the same server, policy and credential, whatever the job; null: such a login is never kept. */
function placeOfSession(where: Place, { account, credential }: NonNullable<Place['admin']>): string | null {
  if (credential.kind !== 'password') return null;
  const { kind, target, resource, networks, identity } = where;
  const of = [kind.description.name, target, resource, networks, identity, account, credential.password.reveal()];
  return createHmac('sha256', placeKey).update(JSON.stringify(of)).digest('base64url');
}

export function createTargetSession(
  held: HeldJob,
  parts: {
    readonly by: 'admin' | 'own';
    /** What every login holds at least. */
    readonly fence: Fence;
    readonly acting: Acting;
    readonly store: JobStore;
    readonly notes: JobNotes;
    readonly versions: Versions;
    readonly keepFirstSeen: ReturnType<typeof createFirstSeenKeeper>;
  },
  deps: RunJobDeps,
): TargetSession {
  const { opened, claimed } = held;
  const { account } = opened;
  const { job } = opened.offer;
  const { by, notes, versions, keepFirstSeen } = parts;
  const { act, within } = parts.acting;
  const login = createLoginBudget(held, parts.store, deps);
  let session: KindSession | null = null;
  let mark = 0;
  let { fence } = parts;
  /** Of an administrator's session: what it may be kept as when this job is through with it. */
  let keeping: { readonly place: string; readonly kept: Omit<KeptSession, 'session'> } | null = null;
  let isAnswered = false;

  async function close(): Promise<void> {
    const closing = session;
    const keep = isAnswered ? keeping : null;
    session = null;
    keeping = null;
    isAnswered = false;
    if (closing !== null && keep !== null && !held.signal.aborted)
      return deps.kept.give(keep.place, { ...keep.kept, session: closing });
    await closing
      ?.close()
      .catch((reason: unknown) => deps.log.debug('a session did not close', { job, error: String(reason) }));
  }

  function notOpened(where: string, outcome: NotOpened): NotOpened['kind'] {
    notes.say(where, `${outcome.kind}: ${outcome.message}`);
    return outcome.kind;
  }

  async function connect(effect: RunEffect & { do: 'connect' }): Promise<RunEvent> {
    await close();
    return act(async (where, wire) => {
      const open: LoginTry = async () => {
        const as =
          effect.as === 'admin' && where.admin !== null
            ? where.admin
            : { account, credential: await versions.credential(effect.version ?? claimed.current) };
        const place = as === where.admin && parts.fence === 'number' ? placeOfSession(where, as) : null;
        if (place !== null && (await takeOver(place, wire)))
          return { isSpent: false, event: { type: 'connected', mark } };
        const outcome = await within(loginWithinMs, (limit) => where.kind.connect(where.target, as, wire, limit));
        if (outcome.kind !== 'connected') {
          const answer = notOpened('connect', outcome);
          return { isSpent: staysTaken(answer), event: { type: 'not-connected', answer } };
        }
        session = outcome.session;
        await keepFirstSeen(where, wire);
        await begin(outcome.session);
        const address = wire.dialled();
        const kept = { address: address ?? '', bornMs: deps.runtime.monotonicMs(), uses: 1 };
        keeping = place === null || address === null ? null : { place, kept };
        return { isSpent: false, event: { type: 'connected', mark } };
      };
      if (effect.as === 'own') return login(() => guarded(open));
      return (await guarded(open)).event;
    });
  }

  async function begin(with_: KindSession): Promise<void> {
    session = with_;
    mark = await within(loginWithinMs, () => with_.mark(account));
    fence = (await within(loginWithinMs, async () => with_.fence?.(account))) ?? parts.fence;
  }

  /** The session of an earlier job, if one is kept and still answers. */
  async function takeOver(place: string, wire: TargetIo): Promise<boolean> {
    for (let kept = deps.kept.take(place); kept !== null; kept = deps.kept.take(place)) {
      const again = kept.session.again?.(wire) ?? null;
      if (again === null) {
        await kept.session.close().catch(() => undefined);
        continue;
      }
      try {
        await begin(again);
        const { address, bornMs, uses } = kept;
        wire.tookOver(address);
        keeping = { place, kept: { address, bornMs, uses: uses + 1 } };
        return true;
      } catch (reason) {
        deps.log.debug('a kept session does not answer', { job, error: String(reason) });
        await close();
      }
    }
    return false;
  }

  /** What a kind throws is no answer: wait and try again, unless the server is somebody else. */
  async function guarded(open: LoginTry): ReturnType<LoginTry> {
    try {
      return await open();
    } catch (reason) {
      const error = PamError.from(reason, 'PAM_TARGET_UNREACHABLE', 'the target could not be asked');
      notes.say('connect', `${error.code}: ${error.message}`);
      // One that opened and was lost at its first question was no refusal.
      const isSpent = session === null;
      await close();
      if (error.code === 'PAM_TARGET_IDENTITY' || error.code === 'PAM_TARGET_NOT_ALLOWED') {
        return { isSpent, event: { type: 'impossible', why: 'record-invalid' } };
      }
      const answer = error.code === 'PAM_INTERNAL' ? 'unknown' : 'unreachable';
      return { isSpent, event: { type: 'not-connected', answer } };
    }
  }

  async function probe(version: number): Promise<RunEvent> {
    await close();
    return act(async (where, wire) =>
      login(async () => {
        const credential = await versions.credential(version);
        const outcome = await within(
          loginWithinMs,
          (limit) => where.kind.probe(where.target, { account, credential }, wire, limit),
          // What a kind throws says nothing of what the server was shown.
        ).catch((reason: unknown): NotOpened => {
          const error = PamError.from(reason, 'PAM_INTERNAL', 'the target could not be asked');
          return { kind: 'unknown', message: error.message };
        });
        if (outcome.kind !== 'opens') notOpened(`login with version ${version}`, outcome);
        return { isSpent: staysTaken(outcome.kind), event: { type: 'probed', answer: outcome.kind } };
      }),
    );
  }

  return {
    current: () => session,
    mark: () => mark,
    fence: () => fence,
    answered: (on) => {
      isAnswered = on === session && on.again !== undefined;
    },
    connect,
    probe,
    close,
    reconnected: async (version) => {
      if (session !== null) return session;
      const answer = await connect({ do: 'connect', as: by, version: by === 'own' ? version : null });
      if (answer.type === 'connected' && session !== null) return session;
      return answer.type === 'not-connected' ? answer.answer : 'unknown';
    },
    evict: () =>
      act(async () => ({
        type: 'evicted',
        all: await within(loginWithinMs, () => session?.evict?.(account) ?? Promise.resolve(true)).catch(() => false),
      })),
  };
}
