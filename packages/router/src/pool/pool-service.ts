import {
  type Decision,
  type GatewayUid,
  type InstanceId,
  type ItemUid,
  type MembershipView,
  PamError,
} from '@sallyport/protocol';
import type { AdmissionOutcome, Join } from './decide-admission.ts';
import type { GatewayRow, Intent, MemberRow, PoolDelta, PoolSnapshot } from './member.ts';
import {
  createPools,
  type CutReason,
  type Hello,
  type OfStream,
  type Pool,
  type PoolEffect,
  type PoolEvent,
  refOf,
  type RouterPools,
  type StoreOp,
} from './pool-state.ts';
import type { PoolStore } from './pool-store.ts';
import { type PoolView, viewPool } from './pool-view.ts';
import { type Picked, route, type RouteRequest } from './route.ts';
import { graceMs } from './mass-loss.ts';
import { beatMs, limits } from './silence.ts';
import { step } from './step.ts';
import type { PoolTiming } from './timing.ts';

interface PoolClock {
  /** Wall time, Unix milliseconds. */
  nowMs(): number;
  monotonicMs(): number;
  /** Runs `fn` every `ms`; the answer stops it. */
  every(ms: number, fn: () => void): () => void;
}

/** What the pool wants done on links. Nothing here may throw or wait. */
export interface PoolEffects {
  /**
   * New membership of a linked instance. With a slot: pass it on as `link.membership` and call `acknowledged` when it is
   * answered, within `timing.promoteMs`.
   */
  tell(link: string, membership: MembershipView): void;
  /** New intent of a linked instance: pass it on as `link.intent`. */
  intend(link: string, intent: Intent): void;
  /** Destroy this link now. */
  cut(link: string, error: PamError): void;
  /** Its sessions are to be recorded as instance-lost. */
  lost(gateway: GatewayUid, instance: InstanceId): void;
  /** One identity on two links; the second was refused. */
  duplicate(instance: InstanceId, keptLink: string, refusedLink: string): void;
  /** A store operation failed; the pool tries again by itself. */
  failed(error: PamError): void;
  /** It cannot reach what another reaches, and is passed over for that; or it reaches it again (`null`). */
  ejected(
    of: Pick<OfStream, 'gateway' | 'instance'> & { readonly resource: ItemUid },
    how: { times: number; forMs: number } | null,
  ): void;
}

export interface PoolServiceDeps {
  readonly store: PoolStore;
  readonly clock: PoolClock;
  readonly timing: PoolTiming;
  readonly effects: PoolEffects;
  /** Streams at once on one instance, 10,000 by default. */
  readonly streamLimit?: number;
  /** In [0, 1): spreads times of ejection. */
  readonly random: () => number;
}

interface HelloAnswer {
  readonly membership: MembershipView;
  readonly intent: Intent;
  readonly maxInstances: number;
  readonly admitted: number;
  readonly beatMs: number;
  readonly suspectMs: number;
}

export interface PoolService {
  /** Reads the places; absent members keep theirs for RG. Before it, hellos are not taken. */
  start(): Promise<void>;
  stop(): void;
  /**
   * A proved hello on `link` (an id never used twice).
   *
   * @throws PAM_POOL_FULL, PAM_POOL_STANDBY_FULL (detail.retryAfterMs), PAM_GATEWAY_REMOVED, PAM_INSTANCE_DUPLICATE,
   * PAM_STORE_AWAY, PAM_LEG_FAILED when the link closed meanwhile.
   */
  hello(link: string, join: Join, maxStreams: number | null): Promise<HelloAnswer>;
  /** A ping; `heard` is the number of the last pong the instance saw. Answers the interval to put into the pong. */
  beat(link: string, ping: { readonly seq: number; readonly heard: number }): { readonly beatMs: number };
  /** Once for every link, also after `bye` and `cut`. */
  linkClosed(link: string): void;
  bye(link: string, reason: 'stopped' | 'drained' | 'refused'): Promise<void>;
  acknowledged(link: string, epoch: number): void;
  /** One turn. Synchronous, from memory. `picked` is null when nobody may: see `noReadyInstance`. */
  route(request: Pick<RouteRequest, 'not' | 'cause' | 'of'> & { readonly gateway: GatewayUid }): {
    readonly decision: Decision;
    readonly picked: Picked | null;
  };
  /** What is heard of a stream that was routed. Words about streams not given to the instance change nothing. */
  heard(word: 'opened' | 'unreached' | 'ended' | 'released', of: Omit<OfStream, 'chance'>): void;
  /** A dispatch was not answered within H: the instance is suspect until two beats are on time. */
  hedged(gateway: GatewayUid, instance: InstanceId, epoch: number): void;
  streams(gateway: GatewayUid, instance: InstanceId, count: number): void;
  setMaxInstances(
    gateway: GatewayUid,
    maxInstances: number,
  ): Promise<{ readonly before: number; readonly maxInstances: number; readonly admitted: number }>;
  /** The instance on this link was told to stop and drains by itself. Nothing when it is no member any more. */
  drainItself(link: string, deadlineAtMs: number): Promise<void>;
  /** Streams of each admitted instance, by what this router knows. */
  streamsOf(gateway: GatewayUid): ReadonlyMap<InstanceId, number>;
  /** Takes over what a transaction of the caller answered (`together` with an audit event). */
  adopt(snapshot: PoolSnapshot): void;
  gatewayCreated(gateway: GatewayUid): Promise<void>;
  gatewayRemoved(gateway: GatewayUid): void;
  /** New pool keys: hellos under way are refused, links cut; `snapshot` is the pool without its members. */
  gatewayRekeyed(snapshot: PoolSnapshot): void;
  list(): readonly PoolView[];
  /** RG as it is now: it grows with the members. */
  graceMs(): number;
  view(gateway: GatewayUid): PoolView | null;
}

const defaultStreamLimit = 10_000;
/** Told to an instance that finds the line full. */
const lineFullRetryMs = 30_000;

interface WaitingHello {
  readonly join: Join;
  readonly resolve: (answer: HelloAnswer) => void;
  readonly reject: (error: PamError) => void;
}

/**
 * The async edge of the pool: carries effects of `step` to the store and to links, and brings answers back. One file, because
 * every method feeds the one state that nobody else may touch.
 */
export function createPoolService(deps: PoolServiceDeps): PoolService {
  const { store, clock, timing, effects } = deps;
  const state: RouterPools = createPools(timing, clock.monotonicMs());
  const hellos = new Map<string, WaitingHello>();
  let stopTicks: (() => void) | null = null;

  const feed = (event: PoolEvent): void => {
    for (const effect of step(state, event, clock.monotonicMs())) perform(effect);
  };

  function perform(effect: PoolEffect): void {
    switch (effect.kind) {
      case 'admit':
        void admit(effect.hello);
        return;
      case 'store':
        void settle(effect.gateway, effect.op);
        return;
      case 'read':
        void read(effect.gateway);
        return;
      case 'welcome':
        return welcome(effect.link, effect.outcome, effect.intent, effect.gateway);
      case 'refuse':
        refuse(
          effect.link,
          new PamError('PAM_INSTANCE_DUPLICATE', `another live process is instance ${effect.instance}`),
        );
        return effects.duplicate(effect.instance, effect.kept, effect.link);
      case 'tell':
        return effects.tell(effect.link, membershipView(effect.member));
      case 'intend':
        return effects.intend(effect.link, effect.intent);
      case 'cut':
        return effects.cut(effect.link, cutError(effect.why));
      case 'lost':
        return effects.lost(effect.gateway, effect.instance);
      case 'ejected':
        return effects.ejected(effect, effect);
      case 'returned':
        return effects.ejected(effect, null);
      default:
        return effect satisfies never;
    }
  }

  async function admit(hello: Hello): Promise<void> {
    const { link, maxStreams: _, ...join } = hello;
    try {
      const answer = await store.admit({ ...join, nowMs: clock.nowMs() });
      if (answer === null) {
        feed({ kind: 'admission-failed', link, gateway: hello.gateway });
        return refuse(link, gatewayGone(hello.gateway));
      }
      feed({ kind: 'admitted', link, gateway: hello.gateway, ...answer });
    } catch (reason) {
      const error = PamError.from(reason, 'PAM_STORE_AWAY', 'the instance could not be admitted');
      feed({ kind: 'admission-failed', link, gateway: hello.gateway });
      refuse(link, error);
      effects.failed(error);
    }
  }

  async function settle(gateway: GatewayUid, op: StoreOp): Promise<void> {
    try {
      feed({ kind: 'settled', gateway, delta: await runOp(store, gateway, op, clock.nowMs()) });
    } catch (reason) {
      feed({ kind: 'settle-failed', gateway });
      effects.failed(PamError.from(reason, 'PAM_STORE_AWAY', `the pool could not ${op.method}`));
    }
  }

  async function read(gateway: GatewayUid): Promise<void> {
    try {
      const snapshot = await store.readPool({ gateway });
      if (snapshot === null) refuseAll(gateway, gatewayGone(gateway));
      feed({ kind: 'read', gateway, snapshot });
    } catch (reason) {
      feed({ kind: 'read-failed', gateway });
      effects.failed(PamError.from(reason, 'PAM_STORE_AWAY', 'the pool could not be read'));
    }
  }

  function welcome(link: string, outcome: AdmissionOutcome, intent: Intent, gateway: GatewayRow): void {
    const waiting = hellos.get(link);
    hellos.delete(link);
    if (waiting === undefined) return;
    if (outcome.kind === 'full') return waiting.reject(new PamError('PAM_POOL_FULL', outcome.reason));
    if (outcome.kind === 'line-full') {
      const detail = { retryAfterMs: lineFullRetryMs };
      return waiting.reject(new PamError('PAM_POOL_STANDBY_FULL', outcome.reason, { detail }));
    }
    waiting.resolve({
      membership: outcome,
      intent,
      maxInstances: gateway.maxInstances,
      admitted: state.pools.get(gateway.uid)?.ring.length ?? 0,
      beatMs: beatMs(state),
      suspectMs: limits(state).suspectMs,
    });
  }

  function refuse(link: string, error: PamError): void {
    hellos.get(link)?.reject(error);
    hellos.delete(link);
  }

  /** Everybody who waits for an admission to this gateway. */
  function refuseAll(gateway: GatewayUid, error: PamError): void {
    for (const [link, waiting] of hellos) if (waiting.join.gateway === gateway) refuse(link, error);
  }

  function membershipView(row: MemberRow): MembershipView {
    if (row.membership === 'slot') return { kind: 'slot', seq: row.seq, epoch: row.epoch };
    const pool = state.pools.get(row.gateway);
    const shown = pool === undefined ? [] : viewPool(pool).instances.filter((view) => view.state === 'standby');
    const at = shown.findIndex((view) => view.instanceId === row.instance);
    return { kind: 'standby', position: at + 1, reason: shown[at]?.reason ?? '' };
  }

  async function known(gateway: GatewayUid): Promise<void> {
    if (state.pools.has(gateway)) return;
    const snapshot = await store.readPool({ gateway });
    if (snapshot === null) throw gatewayGone(gateway);
    feed({ kind: 'snapshot', snapshot });
  }

  const poolOf = (gateway: GatewayUid): Pool => {
    const pool = state.pools.get(gateway);
    if (pool === undefined) throw new PamError('PAM_NOT_FOUND', `there is no gateway ${gateway}`);
    return pool;
  };

  return {
    start: async () => {
      feed({ kind: 'started', snapshots: await store.readPools({}) });
      stopTicks = clock.every(timing.tickMs, () => feed({ kind: 'tick' }));
    },
    stop: () => {
      stopTicks?.();
      stopTicks = null;
    },
    hello: (link, join, maxStreams) => {
      const { promise, resolve, reject } = Promise.withResolvers<HelloAnswer>();
      hellos.set(link, { join, resolve, reject });
      known(join.gateway).then(
        // The link may have closed while the gateway was read.
        () => hellos.has(link) && feed({ kind: 'hello', hello: { ...join, link, maxStreams } }),
        (reason: unknown) => refuse(link, PamError.from(reason, 'PAM_STORE_AWAY', 'the gateway could not be read')),
      );
      return promise;
    },
    beat: (link, ping) => {
      feed({ kind: 'beat', link, heard: ping.heard, wallMs: clock.nowMs() });
      return { beatMs: beatMs(state) };
    },
    linkClosed: (link) => {
      refuse(link, new PamError('PAM_LEG_FAILED', 'the link closed before the admission was answered'));
      feed({ kind: 'closed', link });
    },
    bye: async (link, reason) => {
      const of = state.links.get(link);
      const member = of?.pool.members.get(of.instance);
      if (of === undefined || member === undefined) return;
      feed({ kind: 'bye', link });
      const members = [refOf(member.row)];
      const gateway = of.pool.uid;
      const delta = await store.leave({ gateway, members, reason, nowMs: clock.nowMs() });
      if (delta !== null) feed({ kind: 'changed', gateway, delta });
    },
    acknowledged: (link, epoch) => feed({ kind: 'acknowledged', link, epoch }),
    route: (request) =>
      route(state, poolOf(request.gateway), {
        of: request.of,
        not: request.not,
        cause: request.cause,
        atMs: clock.nowMs(),
        streamLimit: deps.streamLimit ?? defaultStreamLimit,
      }),
    heard: (word, of) => feed({ kind: `stream-${word}`, ...of, chance: deps.random() }),
    hedged: (gateway, instance, epoch) => feed({ kind: 'hedged', gateway, instance, epoch }),
    streams: (gateway, instance, count) => {
      const member = state.pools.get(gateway)?.members.get(instance);
      if (member !== undefined) member.streams = count;
    },
    setMaxInstances: async (gateway, maxInstances) => {
      const answer = await store.setMaximum({ gateway, maxInstances, nowMs: clock.nowMs() });
      if (answer === null) throw new PamError('PAM_NOT_FOUND', `there is no gateway ${gateway}`);
      feed({ kind: 'snapshot', snapshot: answer.snapshot });
      return { before: answer.before, maxInstances, admitted: answer.admitted };
    },
    drainItself: async (link, deadlineAtMs) => {
      const of = state.links.get(link);
      if (of === undefined) return;
      const intent: Intent = { kind: 'drain', by: 'gateway', deadlineAtMs };
      const snapshot = await store.setIntent({
        gateway: of.pool.uid,
        instance: of.instance,
        intent,
        nowMs: clock.nowMs(),
      });
      if (snapshot !== null) feed({ kind: 'snapshot', snapshot });
    },
    streamsOf: (gateway) => {
      const members = state.pools.get(gateway)?.ring ?? [];
      return new Map(members.map((member) => [member.row.instance, member.streams]));
    },
    adopt: (snapshot) => feed({ kind: 'snapshot', snapshot }),
    gatewayCreated: (gateway) => known(gateway),
    gatewayRemoved: (gateway) => {
      refuseAll(gateway, gatewayGone(gateway));
      feed({ kind: 'removed', gateway });
    },
    gatewayRekeyed: (snapshot) => {
      const { uid } = snapshot.gateway;
      refuseAll(uid, keysReplaced(uid));
      for (const member of state.pools.get(uid)?.members.values() ?? []) {
        if (member.link !== null) effects.cut(member.link.id, keysReplaced(uid));
      }
      feed({ kind: 'snapshot', snapshot });
    },
    list: () => [...state.pools.values()].map(viewPool),
    graceMs: () => graceMs(state),
    view: (gateway) => {
      const pool = state.pools.get(gateway);
      return pool === undefined ? null : viewPool(pool);
    },
  };
}

/** Carries one maintenance move to the store. */
function runOp(store: PoolStore, gateway: GatewayUid, op: StoreOp, nowMs: number): Promise<PoolDelta | null> {
  switch (op.method) {
    case 'fill':
      return store.fill({ gateway, waiting: op.waiting, nowMs });
    case 'reclaim':
      return store.reclaim({ gateway, absent: op.absent, waiting: op.waiting, nowMs });
    case 'demote':
      return store.demote({ gateway, member: op.member, nowMs });
    case 'leave':
      return store.leave({ gateway, members: op.members, reason: op.reason, nowMs });
    default:
      return op satisfies never;
  }
}

function gatewayGone(gateway: GatewayUid): PamError {
  return new PamError('PAM_GATEWAY_REMOVED', `there is no gateway ${gateway}`);
}

export function keysReplaced(gateway: GatewayUid): PamError {
  return new PamError('PAM_GATEWAY_REMOVED', 'the keys of this gateway were replaced', {
    detail: { why: 'keys', gateway },
    remedy: 'Start the instance with the configuration that pam gateway rekey printed.',
  });
}

function cutError(why: CutReason): PamError {
  switch (why) {
    case 'silent':
      return new PamError('PAM_TIMEOUT', 'no beat was heard on this link');
    case 'taken-over':
      return new PamError('PAM_INSTANCE_DUPLICATE', 'a newer link of the same instance took over');
    case 'gone':
      return new PamError('PAM_SESSION_ENDED', 'the instance is no longer a member of the pool');
    case 'revoked':
      return new PamError('PAM_GATEWAY_REMOVED', 'the gateway was removed');
    default:
      return why satisfies never;
  }
}
