import { PamError } from '@sallyport/protocol';
import type { Fence, KindSession, LoginAnswer, NotOpened, RunEffect, RunEvent } from '@sallyport/rotation';
import type { Versions } from '../versions.ts';
import { type Acting, loginWithinMs } from './acting.ts';
import { createLoginBudget, type LoginTry } from './buy-login.ts';
import type { HeldJob, RunJobDeps } from './job-deps.ts';
import type { JobNotes } from './job-notes.ts';
import type { JobStore } from './job-store.ts';
import type { createFirstSeenKeeper } from './keep-first-seen.ts';

/** The job's connection to its target: one at a time, logged in. */
export interface TargetSession {
  current(): KindSession | null;
  /** Highest send number that the target showed at the last login. */
  mark(): number;
  /** What the last login holds for the account. */
  fence(): Fence;
  connect(effect: RunEffect & { do: 'connect' }): Promise<RunEvent>;
  /** For what comes after the secret is in force: with the administrator, or as the account with its new secret. */
  reconnected(version: number): Promise<KindSession | Exclude<LoginAnswer, 'opens'>>;
  evict(): Promise<RunEvent>;
  /** A fresh login from a new connection, which is closed again. */
  probe(version: number): Promise<RunEvent>;
  close(): Promise<void>;
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

  async function close(): Promise<void> {
    const closing = session;
    session = null;
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
        const outcome = await within(loginWithinMs, (limit) => where.kind.connect(where.target, as, wire, limit));
        if (outcome.kind !== 'connected') {
          return { opens: false, event: { type: 'not-connected', answer: notOpened('connect', outcome) } };
        }
        session = outcome.session;
        await keepFirstSeen(where, wire);
        mark = await within(loginWithinMs, () => outcome.session.mark(account));
        fence = (await within(loginWithinMs, async () => outcome.session.fence?.(account))) ?? parts.fence;
        return { opens: true, event: { type: 'connected', mark } };
      };
      if (effect.as === 'own') return login(() => guarded(open));
      return (await guarded(open)).event;
    });
  }

  /** What a kind throws is no answer: wait and try again, unless the server is somebody else. */
  async function guarded(open: LoginTry): ReturnType<LoginTry> {
    try {
      return await open();
    } catch (reason) {
      const error = PamError.from(reason, 'PAM_TARGET_UNREACHABLE', 'the target could not be asked');
      notes.say('connect', `${error.code}: ${error.message}`);
      await close();
      if (error.code === 'PAM_TARGET_IDENTITY' || error.code === 'PAM_TARGET_NOT_ALLOWED') {
        return { opens: false, event: { type: 'impossible', why: 'record-invalid' } };
      }
      const answer = error.code === 'PAM_INTERNAL' ? 'unknown' : 'unreachable';
      return { opens: false, event: { type: 'not-connected', answer } };
    }
  }

  async function probe(version: number): Promise<RunEvent> {
    await close();
    return act(async (where, wire) =>
      login(async () => {
        const credential = await versions.credential(version);
        const outcome = await within(loginWithinMs, (limit) =>
          where.kind.probe(where.target, { account, credential }, wire, limit),
        ).catch((reason: unknown): NotOpened => {
          const error = PamError.from(reason, 'PAM_TARGET_UNREACHABLE', 'the target could not be asked');
          return { kind: error.code === 'PAM_INTERNAL' ? 'unknown' : 'unreachable', message: error.message };
        });
        if (outcome.kind !== 'opens') notOpened(`login with version ${version}`, outcome);
        return { opens: outcome.kind === 'opens', event: { type: 'probed', answer: outcome.kind } };
      }),
    );
  }

  return {
    current: () => session,
    mark: () => mark,
    fence: () => fence,
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
