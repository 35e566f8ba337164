import { type Decision, type GatewayUid, type InstanceId, PamError } from '@sallyport/protocol';
import {
  createPools,
  type CutReason,
  type Hello,
  type Member,
  type PoolEffect,
  type PoolEvent,
  type RouterPools,
  type StoreOp,
} from '../../src/pool/pool-state.ts';
import { route, type RouteRequest } from '../../src/pool/route.ts';
import { type PoolRules, productionRules } from '../../src/pool/rules.ts';
import { step } from '../../src/pool/step.ts';
import type { AdmissionOutcome, Intent, MemberRow, PoolDelta, PoolSnapshot } from '../../src/pool/index.ts';
import { defaultTiming, type PoolTiming } from '../../src/pool/timing.ts';
import type { ActCall } from '../../src/store/acts/index.ts';
import { SqliteEngine } from '../../src/store/sqlite-engine.ts';
import { appUid, gatewayUid, host, instanceId } from '../store/samples.ts';

export type Answer =
  | { readonly kind: 'welcome'; readonly outcome: AdmissionOutcome; readonly intent: Intent }
  | { readonly kind: 'refuse'; readonly kept: string };

/** One store operation as the step asked for it; the world decides when it happens and when its answer arrives. */
export interface PendingOp {
  readonly effect: PoolEffect & { readonly kind: 'admit' | 'store' | 'read' };
}

/**
 * A router's pool without a network: the production step and the production transactions on SQLite in memory, in one
 * thread, on a clock that the test moves. Store operations happen at once unless `hold` is set.
 */
export class World {
  readonly gateway: GatewayUid = gatewayUid();
  readonly engine: SqliteEngine;
  state: RouterPools;
  nowMs = 0;
  readonly wallStartMs = Date.UTC(2026, 0, 2);
  hold = false;
  readonly held: PendingOp[] = [];
  readonly answers = new Map<string, Answer>();
  readonly told: { link: string; row: MemberRow }[] = [];
  readonly intended: { link: string; intent: Intent }[] = [];
  readonly cuts: { link: string; why: CutReason }[] = [];
  readonly lost: InstanceId[] = [];
  readonly pairs: string[] = [];
  readonly #rules: PoolRules;
  readonly #timing: PoolTiming;
  #links = 0;

  constructor(
    maxInstances: number,
    rules: PoolRules = productionRules,
    engine = new SqliteEngine(':memory:'),
    timing: PoolTiming = defaultTiming,
  ) {
    this.engine = engine;
    engine.migrate(0);
    this.#rules = rules;
    this.#timing = timing;
    this.call('createGateway', { uid: this.gateway, app: appUid(), maxInstances, token: null, nowMs: this.wallMs() });
    this.state = createPools(this.#timing, 0, rules);
    this.startRouter();
  }

  wallMs(): number {
    return this.wallStartMs + this.nowMs;
  }

  call(method: string, input: unknown): unknown {
    const calls: ActCall[] = [{ concept: 'pool', method, input }];
    return this.engine.runCalls(calls)[0];
  }

  /** A router that was killed and started again: memory gone, rows as they were. */
  startRouter(): void {
    this.held.length = 0;
    this.state = createPools(this.#timing, this.nowMs, this.#rules);
    this.feed({ kind: 'started', snapshots: this.call('readPools', {}) as PoolSnapshot[] });
  }

  feed(event: PoolEvent): void {
    for (const effect of step(this.state, event, this.nowMs)) this.#perform(effect);
  }

  /** Moves time in ticks, as a router that runs; `each` is called before each tick. */
  run(ms: number, each: () => void = () => undefined): void {
    const until = this.nowMs + ms;
    while (this.nowMs < until) {
      this.nowMs = Math.min(until, this.nowMs + defaultTiming.tickMs);
      each();
      this.feed({ kind: 'tick' });
    }
  }

  /** The router stands still for `ms`. */
  pause(ms: number): void {
    this.nowMs += ms;
  }

  hello(name: string, options: { readonly noStandby?: boolean; readonly maxStreams?: number } = {}): string {
    this.#links += 1;
    const link = `${name}#${this.#links}`;
    const hello: Hello = {
      link,
      gateway: this.gateway,
      instance: instanceId(name),
      noStandby: options.noStandby ?? false,
      host,
      version: '0.1.0',
      address: '127.0.0.1',
      maxStreams: options.maxStreams ?? null,
    };
    this.feed({ kind: 'hello', hello });
    return link;
  }

  /** A round trip on the link. */
  beat(link: string): void {
    const heard = (this.state.links.get(link)?.heard ?? 0) + 1;
    this.feed({ kind: 'beat', link, heard, wallMs: this.wallMs() });
  }

  /** Lets every linked instance of `links` beat in time while `ms` pass. */
  live(ms: number, links: readonly string[]): void {
    let last = this.nowMs;
    this.run(ms, () => {
      if (this.nowMs - last < defaultTiming.beatMs) return;
      last = this.nowMs;
      for (const link of links) this.beat(link);
    });
  }

  intent(name: string, intent: Intent): void {
    const input = { gateway: this.gateway, instance: instanceId(name), intent, nowMs: this.wallMs() };
    this.feed({ kind: 'snapshot', snapshot: this.call('setIntent', input) as PoolSnapshot });
  }

  setMaximum(maxInstances: number): void {
    const answer = this.call('setMaximum', { gateway: this.gateway, maxInstances, nowMs: this.wallMs() });
    this.feed({ kind: 'snapshot', snapshot: (answer as { snapshot: PoolSnapshot }).snapshot });
  }

  /** @returns who drains, in order. */
  drainSurplus(maxInstances: number, streams: Readonly<Record<string, number>>, deadlineAtMs: number): string[] {
    const counts = Object.entries(streams).map(([name, count]) => ({ instance: instanceId(name), streams: count }));
    const surplus = { counts, deadlineAtMs };
    const answer = this.call('setMaximum', { gateway: this.gateway, maxInstances, surplus, nowMs: this.wallMs() });
    const { snapshot, drained } = answer as { snapshot: PoolSnapshot; drained: readonly string[] };
    this.feed({ kind: 'snapshot', snapshot });
    return drained.map((instance) => instance.replaceAll('_', ''));
  }

  bye(name: string, link: string, reason: 'stopped' | 'drained'): void {
    const row = this.member(name)?.row;
    this.feed({ kind: 'bye', link });
    if (row === undefined) return;
    const input = { gateway: this.gateway, members: [row], reason, nowMs: this.wallMs() };
    this.feed({ kind: 'changed', gateway: this.gateway, delta: this.call('leave', input) as PoolDelta });
  }

  acknowledgeAll(): void {
    for (const { link, row } of this.told.splice(0)) {
      if (row.membership === 'slot') this.feed({ kind: 'acknowledged', link, epoch: row.epoch });
    }
  }

  route(
    not: readonly InstanceId[] = [],
    of: RouteRequest['of'] = null,
  ): { decision: Decision; instance: string | null; probe: boolean } {
    const pool = this.state.pools.get(this.gateway);
    if (pool === undefined) throw new PamError('PAM_NOT_FOUND', 'the pool is gone');
    const cause = not.length === 0 ? 'first' : 'retry';
    const { decision, picked } = route(this.state, pool, { of, not, cause, atMs: this.wallMs(), streamLimit: 10 });
    const instance = picked === null ? null : picked.instance.replaceAll('_', '');
    return { decision, instance, probe: picked?.probe === true };
  }

  member(name: string): Member | undefined {
    return this.state.pools.get(this.gateway)?.members.get(instanceId(name));
  }

  /** The row in the store, gone ones too: `slot`, `slot drain`, `standby`, `gone displaced` … */
  row(name: string): string {
    const known = (this.call('readPool', { gateway: this.gateway }) as PoolSnapshot | null)?.members ?? [];
    const row = known.find((member) => member.instance === instanceId(name));
    if (row === undefined) return 'gone';
    if (row.membership === 'gone') return `gone ${row.goneReason ?? ''}`;
    return row.intent.kind === 'serve' ? row.membership : `${row.membership} ${row.intent.kind}`;
  }

  slots(): readonly string[] {
    const known = (this.call('readPool', { gateway: this.gateway }) as PoolSnapshot | null)?.members ?? [];
    return known.filter((row) => row.membership === 'slot').map((row) => row.instance.replaceAll('_', ''));
  }

  /** Does a held operation in the store and brings its answer back. */
  release(pending: PendingOp): void {
    const { effect } = pending;
    if (effect.kind === 'admit') {
      const { link, ...join } = effect.hello;
      const answer = this.call('admit', { ...join, nowMs: this.wallMs() });
      if (answer === null) return this.feed({ kind: 'admission-failed', link, gateway: this.gateway });
      const { outcome, delta } = answer as { outcome: AdmissionOutcome; delta: PoolDelta };
      return this.feed({ kind: 'admitted', link, gateway: this.gateway, outcome, delta });
    }
    if (effect.kind === 'read') {
      const snapshot = this.call('readPool', { gateway: this.gateway }) as PoolSnapshot | null;
      return this.feed({ kind: 'read', gateway: this.gateway, snapshot });
    }
    const delta = this.call(effect.op.method, inputOf(this.gateway, effect.op, this.wallMs()));
    this.feed({ kind: 'settled', gateway: this.gateway, delta: delta as PoolDelta | null });
  }

  releaseAll(): void {
    for (const pending of this.held.splice(0)) this.release(pending);
  }

  #perform(effect: PoolEffect): void {
    switch (effect.kind) {
      case 'admit':
      case 'store':
      case 'read':
        if (this.hold) this.held.push({ effect });
        else this.release({ effect });
        return;
      case 'welcome':
        this.answers.set(effect.link, { kind: 'welcome', outcome: effect.outcome, intent: effect.intent });
        return;
      case 'refuse':
        this.answers.set(effect.link, { kind: 'refuse', kept: effect.kept });
        return;
      case 'tell':
        this.told.push({ link: effect.link, row: effect.member });
        return;
      case 'intend':
        this.intended.push({ link: effect.link, intent: effect.intent });
        return;
      case 'cut':
        this.cuts.push({ link: effect.link, why: effect.why });
        return;
      case 'lost':
        this.lost.push(effect.instance);
        return;
      case 'ejected':
        this.pairs.push(`${effect.instance.replaceAll('_', '')} ejected ${effect.times} for ${effect.forMs}`);
        return;
      case 'returned':
        this.pairs.push(`${effect.instance.replaceAll('_', '')} returned`);
        return;
      default:
        return effect satisfies never;
    }
  }
}

function inputOf(gateway: GatewayUid, op: StoreOp, nowMs: number): unknown {
  const { method: _method, ...rest } = op;
  return { gateway, ...rest, nowMs };
}
