import { randomBytes } from 'node:crypto';
import { type ItemUid, type JobWhy, type LinkParams, type LinkResult, PamError, type Peer } from '@sallyport/protocol';
import {
  type Clocks,
  type Credential,
  elapsedMs,
  type Fence,
  generatePassword,
  type KindSession,
  type NotOpened,
  type RunEffect,
  type RunEvent,
} from '@sallyport/rotation';
import { type JsonValue, type LogState, sealCandidate, sealNote, sealPart, type SigningKey } from '@sallyport/seal';
import type { EventChain, Log, Runtime, WorkloadContext } from '../agent/index.ts';
import { makeKeyPair } from '../kind/index.ts';
import { secretsWith } from './credential.ts';
import type { LeaseRunner } from './lease-runner.ts';
import type { OpenedJob, Place } from './open-job.ts';
import type { TargetIo } from './target-io.ts';
import { createVersions, type Versions } from './versions.ts';

export interface RunJobDeps {
  readonly app: Parameters<typeof createVersions>[1]['app'];
  readonly poolKey: SigningKey;
  readonly runtime: Runtime;
  readonly clocks: () => Clocks;
  readonly log: Log;
  readonly lease: LeaseRunner;
  readonly events: EventChain;
  readonly trust: () => LogState;
  readonly keys: Pick<WorkloadContext, 'factsKey' | 'secretsKey'>;
  /** The router, whatever link there is now. @throws PAM_LEG_FAILED without one. */
  readonly call: Peer<'instance'>['call'];
  readonly ioOf: (place: Place) => TargetIo;
  /** Scripts and services after the secret was recorded; what is to be told of them. */
  readonly after: (job: OpenedJob, run: AfterRun) => Promise<AfterResult>;
  readonly isDraining: () => boolean;
  readonly step: (name: string, ms: number) => void;
}

/** What scripts are given. */
interface AfterRun {
  readonly oldSecrets: OpenedJob['secrets'];
  readonly newSecrets: OpenedJob['secrets'];
}
interface AfterResult {
  readonly ok: boolean;
  readonly told: JsonValue;
}

export const callWithinMs = 10_000;
const loginWithinMs = 20_000;
/** A + this: a write that did not answer by then never will. */
const answerGraceMs = 2_000;
/** Re-checks of an account whose target keeps no late write out (section 7). */
const recheckMs = [60_000, 15 * 60_000, 24 * 3_600_000];
const gone: readonly string[] = ['PAM_JOB_FENCED', 'PAM_JOB_ENDED', 'PAM_LEASE_LOST', 'PAM_JOB_POISON'];
const away: readonly string[] = [
  'PAM_LEG_FAILED',
  'PAM_TIMEOUT',
  'PAM_STORE_AWAY',
  'PAM_RATE_LIMITED',
  'PAM_ROUTER_UNREACHABLE',
];

/** The store cannot be asked now; asking again later may do. */
export const isStoreAway = (error: unknown): boolean => error instanceof PamError && away.includes(error.code);

export type Claimed = LinkResult<'job.claim'>;

/** Does one effect of a run after the other: the only place where a job touches its target, the store and the vault. */
export interface Executor {
  readonly by: 'admin' | 'own';
  readonly fence: Fence;
  /** Ends what needs no run: scripts only, an order that is spent. Answers whether it did. */
  early(): Promise<boolean>;
  execute(effect: RunEffect): Promise<RunEvent>;
  close(): Promise<void>;
}

export function createExecutor(
  opened: OpenedJob,
  claimed: Claimed,
  lease: number,
  signal: AbortSignal,
  deps: RunJobDeps,
): Executor {
  const { place, account, settings, offer } = opened;
  const { job } = offer;
  const { epoch } = claimed;
  const at = { job, epoch };
  const io = place === null ? null : deps.ioOf(place);
  const by = place?.admin === null ? 'own' : 'admin';
  const described = place?.kind.description.fence[by] ?? 'none';
  const versions: Versions = createVersions(
    claimed.versions,
    { app: deps.app, uid: offer.record, changes: settings.changes },
    { log: deps.trust, secretsKey: deps.keys.secretsKey },
  );
  let session: KindSession | null = null;
  let mark = 0;
  let permittedAt: Clocks | null = null;
  /** A candidate whose storing was not answered yet: asked again it is the same one. */
  let staging: { readonly next: Credential; readonly key: string } | null = null;
  const told: Record<string, JsonValue> = {};
  const stateWritten = new Set<ItemUid>();

  const key = (): string => randomBytes(12).toString('base64url');
  const gen = (): number => deps.trust().apps.get(deps.app)?.currentGen ?? 1;
  async function note(body: JsonValue): Promise<{ gen: number; envelope: string }> {
    const now = gen();
    const envelope = await sealNote({ app: deps.app, job, gen: now }, body, await deps.keys.factsKey(now));
    return { gen: now, envelope };
  }
  const say = (what: string, message: string): void => {
    told[what] = message.slice(0, 512);
    deps.log.debug('said of a job', { job, what, message: message.slice(0, 512) });
  };

  /** Asks the store; what it answers is an event, and so is that it does not. */
  async function ask(what: () => Promise<RunEvent>): Promise<RunEvent> {
    try {
      return await what();
    } catch (reason) {
      const error = PamError.from(reason, 'PAM_INTERNAL', 'the store could not be asked');
      if (gone.includes(error.code)) return { type: 'fenced' };
      if (isStoreAway(error)) return { type: 'store-away' };
      deps.log.error('a step of a job failed', { job, code: error.code, error: error.message });
      say('error', error.message);
      return { type: 'impossible', why: 'internal' };
    }
  }

  /** Touches the target only while the lease lets it. */
  async function act(what: (where: Place, io: TargetIo) => Promise<RunEvent>): Promise<RunEvent> {
    if (place === null || io === null) return { type: 'impossible', why: 'record-invalid' };
    if (!(await deps.lease.whenActing(lease)) || signal.aborted) return { type: 'fenced' };
    return what(place, io);
  }

  async function within<T>(ms: number, what: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const limit = new AbortController();
    const cancel = deps.runtime.schedule(ms, () =>
      limit.abort(new PamError('PAM_TARGET_TIMEOUT', 'no answer in time')),
    );
    try {
      return await what(AbortSignal.any([signal, limit.signal]));
    } finally {
      cancel();
    }
  }

  const take = (id: string): Promise<LinkResult<'job.login'>> =>
    deps.call('job.login', { job, account: opened.names.account, id, act: 'take' }, { timeoutMs: callWithinMs });
  const giveBack = async (id: string): Promise<void> => {
    await deps.call(
      'job.login',
      { job, account: opened.names.account, id, act: 'return' },
      { timeoutMs: callWithinMs },
    );
  };

  /** A login with a version of the account, bought first and returned when it opened. */
  async function login(try_: () => Promise<{ readonly opens: boolean; readonly event: RunEvent }>): Promise<RunEvent> {
    return ask(async () => {
      const id = key();
      const { granted, inMs } = await take(id);
      if (!granted) return { type: 'budget-empty', untilMs: deps.runtime.nowMs() + inMs };
      const { opens, event } = await try_();
      if (opens) await giveBack(id);
      return event;
    });
  }

  async function close(): Promise<void> {
    const closing = session;
    session = null;
    permittedAt = null;
    await closing
      ?.close()
      .catch((reason: unknown) => deps.log.debug('a session did not close', { job, error: String(reason) }));
  }

  function notOpened(where: string, outcome: NotOpened): Exclude<NotOpened['kind'], never> {
    say(where, `${outcome.kind}: ${outcome.message}`);
    return outcome.kind;
  }

  async function connect(effect: RunEffect & { do: 'connect' }): Promise<RunEvent> {
    await close();
    return act(async (where, wire) => {
      const open = async () => {
        const as =
          effect.as === 'admin' && where.admin !== null
            ? where.admin
            : { account, credential: await versions.credential(effect.version ?? claimed.current) };
        const outcome = await within(loginWithinMs, (limit) => where.kind.connect(where.target, as, wire, limit));
        if (outcome.kind !== 'connected') {
          return { opens: false, event: { type: 'not-connected', answer: notOpened('connect', outcome) } as const };
        }
        session = outcome.session;
        await keepFirstSeen(where, wire);
        mark = await within(loginWithinMs, () => outcome.session.mark(account));
        return { opens: true, event: { type: 'connected', mark } as const };
      };
      if (effect.as === 'own') return login(() => guarded(open));
      return (await guarded(open)).event;
    });
  }

  /** What a kind throws is no answer: wait and try again, unless the server is somebody else. */
  async function guarded(
    open: () => Promise<{ readonly opens: boolean; readonly event: RunEvent }>,
  ): Promise<{ readonly opens: boolean; readonly event: RunEvent }> {
    try {
      return await open();
    } catch (reason) {
      const error = PamError.from(reason, 'PAM_TARGET_UNREACHABLE', 'the target could not be asked');
      say('connect', `${error.code}: ${error.message}`);
      await close();
      if (error.code === 'PAM_TARGET_IDENTITY' || error.code === 'PAM_TARGET_NOT_ALLOWED') {
        return { opens: false, event: { type: 'impossible', why: 'record-invalid' } };
      }
      const answer = error.code === 'PAM_INTERNAL' ? 'unknown' : 'unreachable';
      return { opens: false, event: { type: 'not-connected', answer } };
    }
  }

  /** The key that a server showed first is kept with the resource; who comes second compares with it. */
  async function keepFirstSeen(where: Place, wire: TargetIo): Promise<void> {
    const firstSeen = wire.firstSeen();
    if (firstSeen === null || stateWritten.has(where.resource)) return;
    stateWritten.add(where.resource);
    const item = opened.items.item(where.resource);
    const now = gen();
    const rev = (item.parts.state?.rev ?? 0) + 1;
    const at_ = { app: deps.app, uid: where.resource, type: item.type, part: 'state', gen: now, rev } as const;
    const seconds = Math.floor(deps.runtime.nowMs() / 1_000);
    const envelope = await sealPart(at_, { firstSeen }, await deps.keys.factsKey(now), deps.poolKey, seconds);
    await deps
      .call('vault.state', { uid: where.resource, state: { rev, gen: now, envelope } }, { timeoutMs: callWithinMs })
      .catch((error: PamError) =>
        deps.log.info('a server’s first key was kept by somebody else', { code: error.code }),
      );
  }

  async function stage(): Promise<RunEvent> {
    const { proof } = opened;
    if (proof === null) return { type: 'impossible', why: 'order-invalid' };
    const next = staging?.next ?? fresh();
    if (next === null) return { type: 'impossible', why: 'policy-refused' };
    const id = staging?.key ?? key();
    staging = { next, key: id };
    return ask(async () => {
      const before = claimed.current === 0 ? opened.secrets : await versions.secrets(claimed.current);
      const secrets = secretsWith(before, next);
      const now = gen();
      const rev = claimed.base + 1;
      const at_ = { app: deps.app, uid: offer.record, type: 'pamUser', part: 'secrets', gen: now, rev } as const;
      const body = JSON.parse(JSON.stringify(secrets)) as JsonValue;
      const seconds = Math.floor(deps.runtime.nowMs() / 1_000);
      const envelope = await sealCandidate(at_, body, await deps.keys.secretsKey(now), deps.poolKey, proof, seconds);
      const params = { ...at, key: id, rev, gen: now, envelope };
      const { version } = await deps.call('job.stage', params, { timeoutMs: callWithinMs });
      versions.add(version, secrets);
      staging = null;
      return { type: 'staged', version };
    });
  }

  function fresh(): Credential | null {
    if (place === null) return null;
    if (settings.changes === 'ssh-key') return makeKeyPair();
    const drawn = generatePassword(opened.complexity, place.kind.limits(place.target), randomBytes);
    if (drawn.ok) return { kind: 'password', password: drawn.password };
    say('complexity', `the target cannot take a password of this complexity (${drawn.why})`);
    return null;
  }

  async function permit(): Promise<RunEvent> {
    return act(async (_where, wire) => {
      if (session === null) return { type: 'store-away' };
      const askedAt = deps.clocks();
      return ask(async () => {
        const address = await note({ address: wire.dialled() ?? '' });
        const { send } = await deps.call(
          'job.permit',
          { ...at, key: key(), mark, address },
          { timeoutMs: callWithinMs },
        );
        permittedAt = askedAt;
        return { type: 'permitted', send };
      });
    });
  }

  async function write(effect: RunEffect & { do: 'write' }): Promise<RunEvent> {
    const times = deps.lease.times();
    const next = await versions.credential(effect.version);
    const old = await versions.credential(effect.old).catch(() => null);
    const limit = new AbortController();
    const using = session;
    const askedAt = permittedAt;
    permittedAt = null;
    // From here to the write there is no turn in between: the check holds for what goes out.
    if (using === null || askedAt === null || deps.lease.acting() !== lease || signal.aborted)
      return { type: 'not-sent' };
    if (elapsedMs(askedAt, deps.clocks()) > times.quiesceMs) return { type: 'not-sent' };
    const order = { account, send: effect.send, next, old, limitMs: times.effectMs };
    const writing = using.apply(order, AbortSignal.any([signal, limit.signal]));
    const isLate = elapsedMs(askedAt, deps.clocks()) > times.quiesceMs;
    const cancel = deps.runtime.schedule(times.effectMs + answerGraceMs, () =>
      limit.abort(new PamError('PAM_TARGET_TIMEOUT', 'the write did not answer')),
    );
    try {
      const outcome = await writing;
      if (outcome.kind !== 'applied') say(`write ${effect.send}`, `${outcome.kind}: ${outcome.message}`);
      return { type: 'wrote', outcome: outcome.kind };
    } catch (reason) {
      say(`write ${effect.send}`, String(reason));
      return { type: 'wrote', outcome: 'unknown' };
    } finally {
      cancel();
      if (isLate) await tellLate(effect.send);
    }
  }

  /** This process stood still between the check and the write: whoever promoted meanwhile must look again. */
  async function tellLate(send: number): Promise<void> {
    deps.log.error('a write went out later than it was permitted', { job, send });
    const params = { job, account: opened.names.account, send, note: await note({ late: send }) };
    await deps
      .call('job.late', params, { timeoutMs: callWithinMs })
      .catch((error: PamError) => deps.log.error('the late write could not be told', { job, send, code: error.code }));
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
        if (outcome.kind !== 'opens') say(`login with version ${version}`, `${outcome.kind}: ${outcome.message}`);
        return { opens: outcome.kind === 'opens', event: { type: 'probed', answer: outcome.kind } };
      }),
    );
  }

  /** For what comes after the secret is in force: with the administrator, or as the account with its new secret. */
  async function reconnected(version: number): Promise<KindSession | null> {
    if (session !== null) return session;
    const answer = await connect({ do: 'connect', as: by, version: by === 'own' ? version : null });
    return answer.type === 'connected' ? session : null;
  }

  async function converge(): Promise<RunEvent> {
    const startedMs = deps.runtime.monotonicMs();
    return act(async () => {
      const using = await reconnected(claimed.candidate ?? lastVersion);
      const agreed: JsonValue[] = [];
      let all = true;
      for (const replica of settings.replicas) {
        const agrees = await within(
          loginWithinMs,
          async (limit) => using?.agrees?.(replica, account, limit) ?? false,
        ).catch(() => false);
        all &&= agrees;
        agreed.push({ ...replica, agrees, ms: Math.round(deps.runtime.monotonicMs() - startedMs) });
      }
      told['replicas'] = agreed;
      return { type: 'agreed', all };
    });
  }
  let lastVersion = claimed.candidate ?? claimed.current;

  /** Told again after its answer was lost it is the same report, by its key. */
  function report(what: LinkParams<'job.report'>['what'], answer: RunEvent): Promise<RunEvent> {
    return ask(async () => {
      await deps.call('job.report', { ...at, key: reportKey(what), what, note: null }, { timeoutMs: callWithinMs });
      return answer;
    });
  }

  function reportKey(what: LinkParams<'job.report'>['what']): string {
    switch (what.kind) {
      case 'wrote':
        return `wrote-${what.send}-${what.outcome}`;
      case 'verified':
        return `verified-${what.version}`;
      case 'converged':
        return `converged-${what.agreed ? 'all' : 'some'}`;
      case 'progress':
        return key();
      default:
        return what satisfies never;
    }
  }

  function promote(version: number): Promise<RunEvent> {
    lastVersion = version;
    return ask(async () => {
      const content = { ...at, version };
      const answer = await deps.events.deliver({ act: 'job.promote', on: [offer.record, job], content }, (signed) =>
        deps.call('job.promote', { ...content, signed }, { timeoutMs: callWithinMs }),
      );
      if (answer.kind === 'promoted') return { type: 'promoted' };
      say('edited', `the record is at revision ${answer.rev}, the run began with ${claimed.base}`);
      return { type: 'edited' };
    });
  }

  async function retire(version: number): Promise<RunEvent> {
    return act(async () => {
      const using = await reconnected(version);
      if (using === null) return { type: 'not-connected', answer: 'unreachable' };
      if (using.retire === undefined) return { type: 'retired' };
      const keep = await versions.credential(version);
      const removed = await within(
        loginWithinMs,
        (limit) => using.retire?.(account, keep, limit) ?? Promise.resolve(0),
      ).catch((reason: unknown) => {
        say('retire', String(reason));
        return null;
      });
      if (removed === null) return { type: 'not-connected', answer: 'unreachable' };
      told['retired'] = removed;
      return { type: 'retired' };
    });
  }

  async function after(): Promise<RunEvent> {
    await close();
    const newSecrets = await versions.secrets(lastVersion).catch(() => opened.secrets);
    const result = await deps.after(opened, { oldSecrets: opened.secrets, newSecrets });
    told['after'] = result.told;
    return { type: 'after-done' };
  }

  async function rehearse(): Promise<RunEvent> {
    return act(async () => {
      if (session === null) return { type: 'rehearsed', holds: false };
      const found = await within(loginWithinMs, () => session?.check(account) ?? Promise.resolve([]));
      told['preconditions'] = found.map(({ what, holds, remedy }) => ({ what, holds, remedy }));
      if (fresh() === null) return { type: 'rehearsed', holds: false };
      return { type: 'rehearsed', holds: found.every((one) => one.holds) };
    }).catch((reason: unknown): RunEvent => {
      say('rehearse', String(reason));
      return { type: 'rehearsed', holds: false };
    });
  }

  async function pause(effect: RunEffect & { do: 'pause' }): Promise<RunEvent> {
    const ms = effect.untilMs === null ? effect.ms : Math.max(effect.ms, effect.untilMs - deps.runtime.nowMs());
    if (deps.isDraining()) {
      const answer = await wait({ do: 'wait', ms, untilMs: null, why: effect.why });
      // What the router did not take goes on here for as long as this process lives; asked again without a pause it would spin.
      if (answer.type === 'recorded' || answer.type === 'fenced') return { type: 'fenced' };
    }
    await report({ kind: 'progress', what: effect.why }, { type: 'resumed' });
    await new Promise<void>((resolve) => {
      const cancel = deps.runtime.schedule(ms, resolve);
      signal.addEventListener(
        'abort',
        () => {
          cancel();
          resolve();
        },
        { once: true },
      );
    });
    return signal.aborted ? { type: 'fenced' } : { type: 'resumed' };
  }

  function wait(effect: RunEffect & { do: 'wait' }): Promise<RunEvent> {
    return ask(async () => {
      const inMs = effect.untilMs === null ? effect.ms : effect.untilMs - deps.runtime.nowMs();
      const params = {
        ...at,
        inMs: Math.min(86_400_000, Math.max(0, Math.ceil(inMs))),
        why: effect.why,
        note: await noteOfAll(),
      };
      await deps.call('job.wait', params, { timeoutMs: callWithinMs });
      return { type: 'recorded' };
    });
  }

  async function noteOfAll(): Promise<{ gen: number; envelope: string } | null> {
    if (Object.keys(told).length === 0) return null;
    return note(told).catch(() => note({ message: 'what there is to tell is too long' }));
  }

  function finish(outcome: (RunEffect & { do: 'finish' })['outcome'], why: JobWhy): Promise<RunEvent> {
    return ask(async () => {
      const isRotated = outcome === 'done' && why === 'rotated';
      const content = {
        ...{ ...at, outcome, why, note: await noteOfAll() },
        recheckMs: isRotated && fence === 'none' ? recheckMs : [],
      };
      await deps.events.deliver({ act: 'job.finish', on: [offer.record, job], content }, (signed) =>
        deps.call('job.finish', { ...content, signed }, { timeoutMs: callWithinMs }),
      );
      return { type: 'recorded' };
    });
  }

  /** Until the kinds say better for a login, the least that the description promises. */
  const fence: Fence = described;

  return {
    by,
    fence,
    close,
    early: async () => {
      const { proof } = opened;
      if (settings.noop && offer.kind === 'rotate') {
        await after();
        await finish('done', 'scripts-only');
        return true;
      }
      const isFresh = claimed.sends.length === 0 && claimed.step !== 'promoted' && claimed.step !== 'done';
      if (
        offer.kind === 'rotate' &&
        isFresh &&
        proof !== null &&
        'order' in proof &&
        opened.orderBase !== claimed.base
      ) {
        await finish('failed', 'order-spent');
        return true;
      }
      return false;
    },
    execute: async (effect) => {
      switch (effect.do) {
        case 'stage':
          return stage();
        case 'connect':
          return connect(effect);
        case 'evict':
          return act(async () => ({
            type: 'evicted',
            all: await within(loginWithinMs, () => session?.evict?.(account) ?? Promise.resolve(true)).catch(
              () => false,
            ),
          }));
        case 'permit':
          return permit();
        case 'write':
          return write(effect);
        case 'report':
          return report({ kind: 'wrote', send: effect.send, outcome: effect.outcome }, { type: 'reported' });
        case 'probe':
          return probe(effect.version);
        case 'verified':
          lastVersion = effect.version;
          return report({ kind: 'verified', version: effect.version, send: effect.send }, { type: 'recorded' });
        case 'converge':
          return converge();
        case 'converged':
          return report({ kind: 'converged', agreed: effect.agreed }, { type: 'recorded' });
        case 'promote':
          return promote(effect.version);
        case 'retire':
          return retire(effect.version);
        case 'after':
          return after();
        case 'rehearse':
          return rehearse();
        case 'pause':
          return pause(effect);
        case 'wait':
          return wait(effect);
        case 'finish':
          return finish(effect.outcome, effect.why);
        case 'abandon':
          return { type: 'recorded' };
        default:
          return effect satisfies never;
      }
    },
  };
}
