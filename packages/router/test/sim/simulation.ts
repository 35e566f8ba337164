import type { InstanceId } from '@sallyport/protocol';
import { createSeededRandom, type SeededRandom } from '@sallyport/testkit';
import {
  createPools,
  type Hello,
  type PoolEffect,
  type PoolEvent,
  type RouterPools,
} from '../../src/pool/pool-state.ts';
import { route } from '../../src/pool/route.ts';
import { step } from '../../src/pool/step.ts';
import { defaultTiming } from '../../src/pool/timing.ts';
import { host } from '../store/samples.ts';
import { type Actor, Actors, isLively, never } from './actors.ts';
import { Checks, type Moments } from './checks.ts';
import { DueQueue } from './due-queue.ts';
import { type Fault, rulesWith } from './faults.ts';
import { Leavings } from './leavings.ts';
import { type Backend, SimulatedStore } from './simulated-store.ts';
import { Targets } from './targets.ts';
import { type Trace, traceOf } from './trace.ts';

/**
 * One pool and its router, simulated: the production step, pick and transactions under a schedule of deaths, blips,
 * freezes, pauses and kills of the router, resizes, cordons, drains and a slow store, all from one seed.
 *
 * Checked: I1 slots ≤ maximum (simulated-store.ts) · I2, I3, I4, I7, I8, I9, I13 (checks.ts) · I12 targets (targets.ts).
 */
export interface SimulationResult {
  readonly seed: number;
  readonly picks: number;
  readonly storeOps: number;
  /** Times that an answer was missing and the pool was read whole. */
  readonly reads: number;
  /** What broke, with the simulated time; null when nothing did. */
  readonly broken: string | null;
}

const { tickMs, beatMs, reserveMs } = defaultTiming;
const tick: PoolEvent = { kind: 'tick' };

export class Simulation {
  readonly #random: SeededRandom;
  readonly #store: SimulatedStore;
  readonly #targets: Targets;
  readonly #leavings: Leavings | null;
  readonly #lookAlways: boolean;
  readonly #rules: ReturnType<typeof rulesWith>;
  readonly #actors = new Actors();
  readonly #at: Moments = { nowMs: 0, resumedAtMs: 0, slowUntilMs: 0, disturbedAtMs: 0 };
  readonly #checks: Checks;
  readonly #due = new DueQueue();
  #state: RouterPools;
  /** The one beat, filled in anew for each: an instance sends 14,400 an hour. */
  readonly #beat = { kind: 'beat' as const, link: '', heard: 0, wallMs: 0 };
  #routerDownUntilMs = 0;
  #pausedUntilMs = 0;
  #nextTroubleMs = 0;
  #nextPickMs = 0;
  #links = 0;
  #picks = 0;
  #storeOps = 0;
  #reads = 0;
  #broken: string | null = null;
  readonly #seed: number;
  readonly #trace: Trace | null;

  constructor(seed: number, options: Omit<SimulateOptions, 'ms'>) {
    const { fault = 'none', backend = 'memory', trace = null, leavings = false, lookAlways = false } = options;
    this.#lookAlways = lookAlways;
    this.#seed = seed;
    this.#trace = trace;
    this.#random = createSeededRandom(seed);
    this.#targets = new Targets(seed);
    this.#leavings = leavings ? new Leavings(seed) : null;
    const maximum = 1 + this.#random.below(4);
    this.#store = new SimulatedStore(maximum, fault, backend);
    this.#rules = rulesWith(fault);
    this.#checks = new Checks(this.#at, this.#actors, this.#store, (what) => this.#break(what));
    this.#state = this.#startRouter();
    for (let i = 0; i < maximum + this.#random.below(3); i += 1) this.#addActor(this.#random.below(500));
  }

  /** Runs `ms` of simulated time, or to the first thing that breaks. */
  run(ms: number): SimulationResult {
    while (this.#at.nowMs < ms && this.#broken === null) {
      this.#at.nowMs += tickMs;
      this.#turn();
      if (this.#store.broken !== null) this.#break(this.#store.broken);
      if (this.#leavings !== null && this.#leavings.broken !== null) this.#break(this.#leavings.broken);
      if (this.#targets.broken !== null) this.#break(this.#targets.broken);
    }
    this.#store.close();
    return { seed: this.#seed, picks: this.#picks, storeOps: this.#storeOps, reads: this.#reads, broken: this.#broken };
  }

  #turn(): void {
    if (this.#due.hasDue(this.#at.nowMs)) this.#runDue();
    if (this.#at.nowMs < this.#pausedUntilMs) return;
    if (this.#pausedUntilMs > 0) {
      this.#pausedUntilMs = 0;
      this.#at.resumedAtMs = this.#at.nowMs;
    }
    if (this.#routerDownUntilMs > 0) {
      if (this.#at.nowMs < this.#routerDownUntilMs) return;
      this.#routerDownUntilMs = 0;
      this.#state = this.#startRouter();
    }
    // Timers first, then sockets: as libuv does, and as a router that wakes up does.
    if (this.#lookAlways) this.#state.lookAtMs = 0;
    this.#feed(tick);
    for (const actor of this.#actors.all) this.#live(actor);
    if (this.#at.nowMs >= this.#nextPickMs) this.#pick();
    if (this.#at.nowMs >= this.#nextTroubleMs) this.#trouble();
    if (this.#leavings !== null) this.#leaveMore(this.#leavings);
    this.#checks.freeSlot();
  }

  // --- instances

  #addActor(inMs: number): void {
    this.#actors.add(this.#at.nowMs + inMs);
  }

  #live(actor: Actor): void {
    if (actor.frozenUntilMs > this.#at.nowMs) return;
    if (actor.frozenUntilMs > 0) {
      actor.frozenUntilMs = 0;
      actor.thawedAtMs = this.#at.nowMs;
    }
    if (actor.link === null) {
      if (this.#at.nowMs >= actor.redialAtMs) this.#dial(actor);
      return;
    }
    if (actor.welcome && this.#at.nowMs >= actor.nextBeatMs) {
      actor.nextBeatMs = this.#at.nowMs + beatMs;
      actor.heard += 1;
      this.#beat.link = actor.link;
      this.#beat.heard = actor.heard;
      this.#beat.wallMs = this.#at.nowMs;
      this.#feed(this.#beat);
    }
  }

  #dial(actor: Actor): void {
    this.#links += 1;
    actor.link = `${actor.name}#${this.#links}`;
    actor.welcome = false;
    actor.heard = 0;
    actor.redialAtMs = never;
    this.#hello(actor.link, actor.id);
  }

  #hello(link: string, instance: InstanceId): void {
    const hello: Hello = {
      link,
      gateway: this.#store.gateway,
      instance,
      noStandby: false,
      host,
      version: '0.1.0',
      address: '127.0.0.1',
      maxStreams: null,
    };
    this.#feed({ kind: 'hello', hello });
  }

  #closeLink(actor: Actor, redialInMs: number): void {
    const { link } = actor;
    actor.link = null;
    actor.welcome = false;
    actor.redialAtMs = this.#at.nowMs + redialInMs;
    if (link === null) return;
    this.#checks.linkClosed(actor.id, this.#at.nowMs);
    this.#feed({ kind: 'closed', link });
  }

  #kill(actor: Actor): void {
    this.#actors.remove(actor);
    this.#closeLink(actor, never);
  }

  #leave(actor: Actor, reason: 'stopped' | 'drained'): void {
    const row = this.#store.truth.members.find((member) => member.instance === actor.id);
    const { link } = actor;
    this.#actors.remove(actor);
    if (link === null) return;
    this.#feed({ kind: 'bye', link });
    this.#later(() => {
      const members = row === undefined ? [] : [row];
      const delta = this.#store.run({ method: 'leave', members, reason }, this.#at.nowMs);
      return { kind: 'changed', gateway: this.#store.gateway, delta };
    });
    this.#closeLink(actor, never);
  }

  // --- the router

  #startRouter(): RouterPools {
    this.#due.nextLife();
    this.#state = createPools(defaultTiming, this.#at.nowMs, this.#rules);
    this.#at.resumedAtMs = this.#at.nowMs;
    this.#checks.routerStarted();
    this.#feed({ kind: 'started', snapshots: [this.#store.read()] });
    return this.#state;
  }

  #feed(event: PoolEvent): void {
    if (this.#at.nowMs < this.#routerDownUntilMs) return;
    const effects = step(this.#state, event, this.#at.nowMs);
    if (this.#trace !== null && (effects.length > 0 || (event.kind !== 'beat' && event.kind !== 'tick'))) {
      this.#trace(`${(this.#at.nowMs / 1_000).toFixed(2)} ${traceOf(event)} → ${effects.map(traceOf).join(', ')}`);
    }
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: PoolEffect): void {
    switch (effect.kind) {
      case 'admit': {
        const { hello } = effect;
        const commit = this.#store.admit(hello, this.#at.nowMs);
        this.#later(() => ({ kind: 'admitted', link: hello.link, gateway: hello.gateway, ...commit() }));
        return;
      }
      case 'store': {
        const { op, gateway } = effect;
        if (op.method === 'reclaim') this.#checks.reclaimed(op.absent.map((ref) => ref.instance));
        this.#later(() => ({ kind: 'settled', gateway, delta: this.#store.run(op, this.#at.nowMs) }));
        return;
      }
      case 'read': {
        const { gateway } = effect;
        this.#reads += 1;
        // One in eight fails: the store is away.
        if (this.#random.below(8) === 0) return this.#after(tickMs, () => this.#feed({ kind: 'read-failed', gateway }));
        this.#later(() => ({ kind: 'read', gateway, snapshot: this.#store.read() }));
        return;
      }
      case 'welcome': {
        const actor = this.#actors.holderOf(effect.link);
        if (actor === undefined) return;
        const isIn = effect.outcome.kind === 'slot' || effect.outcome.kind === 'standby';
        if (!isIn) return this.#closeLink(actor, 5_000);
        if (effect.outcome.kind === 'standby' && effect.intent.kind === 'drain') return this.#leave(actor, 'drained');
        actor.welcome = true;
        actor.nextBeatMs = this.#at.nowMs + this.#random.below(beatMs);
        return;
      }
      case 'refuse':
        this.#checks.refused(effect.link);
        return this.#cut(effect.link);
      case 'cut':
        if (effect.why === 'taken-over') this.#checks.takenOver(effect.link);
        if (effect.why === 'silent') this.#checks.cutForSilence(effect.link);
        return this.#cut(effect.link, effect.why === 'silent' ? reserveMs : 0);
      case 'tell': {
        const { link, member } = effect;
        const actor = this.#actors.holderOf(link);
        if (actor === undefined || actor.frozenUntilMs > this.#at.nowMs || member.membership !== 'slot') return;
        return this.#after(tickMs, () => this.#feed({ kind: 'acknowledged', link, epoch: member.epoch }));
      }
      case 'ejected':
        return this.#targets.heard(effect, this.#at.nowMs);
      case 'intend':
      case 'lost':
      case 'returned':
        return;
      default:
        return effect satisfies never;
    }
  }

  /** A link cut for silence has had its reserve already: absent(now − RJ). */
  #cut(link: string, reserveSpentMs = 0): void {
    const actor = this.#actors.holderOf(link);
    if (actor === undefined) return;
    this.#closeLink(actor, this.#random.below(400));
    this.#checks.linkClosed(actor.id, this.#at.nowMs - reserveSpentMs);
  }

  // --- the store, which takes its time

  /** Commits after a while and brings the answer after another; a router that was killed gets none. */
  #later(commit: () => PoolEvent): void {
    this.#storeOps += 1;
    const slow = this.#at.nowMs < this.#at.slowUntilMs;
    const one = slow ? this.#random.below(2_500) : this.#random.below(20);
    const two = slow ? this.#random.below(2_500) : this.#random.below(20);
    this.#after(one, () => {
      const event = commit();
      this.#after(two, () => this.#feed(event));
    });
  }

  /** Runs what this life of the router asked for. */
  #after(ms: number, run: () => void): void {
    this.#due.add(this.#at.nowMs + ms, run);
  }

  #runDue(): void {
    // A paused router gets its answers when it runs again, in the order in which they came.
    if (this.#at.nowMs >= this.#pausedUntilMs) this.#due.run(this.#at.nowMs);
  }

  // --- trouble

  #trouble(): void {
    this.#nextTroubleMs = this.#at.nowMs + 500 + this.#random.below(30_000);
    this.#at.disturbedAtMs = this.#at.nowMs;
    const actor = this.#actors.all[this.#random.below(Math.max(1, this.#actors.all.length))];
    const kind = this.#random.below(14);
    if (this.#actors.all.length < 2 || kind === 0) return this.#addActor(this.#random.below(3_000));
    if (actor === undefined) return;
    if (kind <= 2) {
      this.#kill(actor);
      return this.#addActor(this.#random.below(20_000));
    }
    if (kind === 5) {
      // It comes back while the store is slow to give its place away.
      this.#at.slowUntilMs = this.#at.nowMs + 8_000;
      return this.#closeLink(actor, reserveMs + this.#random.below(2_500));
    }
    if (kind <= 4) return this.#closeLink(actor, this.#random.below(this.#random.below(3) === 0 ? 100_000 : 1_600));
    if (kind === 6) actor.frozenUntilMs = this.#at.nowMs + this.#random.below(12_000);
    else if (kind === 7) this.#pausedUntilMs = this.#at.nowMs + 300 + this.#random.below(12_000);
    else if (kind === 8) this.#killRouter();
    else if (kind === 9) this.#resize();
    else if (kind === 10) this.#toggleCordon(actor);
    else if (kind === 11) this.#drain(actor);
    else if (kind === 12) this.#at.slowUntilMs = this.#at.nowMs + 2_000 + this.#random.below(20_000);
    else for (const other of [...this.#actors.all]) this.#closeLink(other, this.#random.below(4_000));
  }

  #killRouter(): void {
    this.#due.nextLife();
    this.#due.clear();
    this.#routerDownUntilMs = this.#at.nowMs + 500 + this.#random.below(5_000);
    for (const actor of this.#actors.all) {
      if (actor.link !== null) this.#checks.linkClosed(actor.id, this.#at.nowMs);
      actor.link = null;
      actor.welcome = false;
      actor.redialAtMs = this.#routerDownUntilMs + this.#random.below(3_000);
    }
  }

  #resize(): void {
    const snapshot = this.#store.setMaximum(1 + this.#random.below(5), this.#at.nowMs);
    this.#feed({ kind: 'snapshot', snapshot });
    if (this.#actors.all.length < snapshot.gateway.maxInstances + 1) this.#addActor(this.#random.below(2_000));
  }

  #toggleCordon(actor: Actor): void {
    const row = this.#store.truth.members.find((member) => member.instance === actor.id);
    const intent = row?.intent.kind === 'cordon' ? 'serve' : 'cordon';
    const snapshot = this.#store.setIntent(actor.id, { kind: intent }, this.#at.nowMs);
    if (snapshot === null) return;
    if (intent === 'cordon') this.#checks.cordoned(actor.id);
    else this.#checks.uncordoned(actor.id);
    this.#feed({ kind: 'snapshot', snapshot });
  }

  #drain(actor: Actor): void {
    const deadlineAtMs = this.#at.nowMs + 30_000;
    const snapshot = this.#store.setIntent(actor.id, { kind: 'drain', by: 'operator', deadlineAtMs }, this.#at.nowMs);
    if (snapshot === null || actor.draining) return;
    this.#checks.cordoned(actor.id);
    actor.draining = true;
    this.#feed({ kind: 'snapshot', snapshot });
    this.#leaveIn(this.#random.below(30_000), actor);
    this.#addActor(this.#random.below(5_000));
  }

  /** Another process says hello with this identity, and never beats. */
  #clone(actor: Actor): void {
    this.#links += 1;
    const link = `clone#${this.#links}`;
    if (actor.link !== null && isLively(actor, this.#at.nowMs)) this.#checks.challenged(link, actor.link);
    this.#hello(link, actor.id);
  }

  #leaveIn(ms: number, actor: Actor): void {
    this.#after(ms, () => {
      if (this.#actors.all.includes(actor)) this.#leave(actor, 'drained');
    });
  }

  /** Surplus that drains, members that are replaced, clones. */
  #leaveMore(leavings: Leavings): void {
    const leaving = leavings.next(this.#at.nowMs, this.#store);
    if (leaving === null) return;
    this.#at.disturbedAtMs = this.#at.nowMs;
    if ('clones' in leaving) {
      const actor = this.#actors.all[leaving.clones % Math.max(1, this.#actors.all.length)];
      return actor === undefined ? undefined : this.#clone(actor);
    }
    for (const { instance } of leaving.drained) this.#checks.cordoned(instance);
    this.#feed({ kind: 'snapshot', snapshot: leaving.snapshot });
    for (const { instance, leavesInMs } of leaving.drained) {
      const actor = this.#actors.of(instance);
      if (actor === undefined || actor.draining) continue;
      actor.draining = true;
      this.#leaveIn(leavesInMs, actor);
    }
    if (leaving.newcomerInMs !== null) this.#addActor(leaving.newcomerInMs);
  }

  #pick(): void {
    this.#nextPickMs = this.#at.nowMs + 100 + this.#random.below(700);
    const pool = this.#state.pools.get(this.#store.gateway);
    if (pool === undefined) return;
    this.#targets.trouble(this.#at.nowMs, pool.ring);
    const decided = this.#targets.request({
      nowMs: this.#at.nowMs,
      route: ({ of, not, cause }) =>
        route(this.#state, pool, { of, not, cause, atMs: this.#at.nowMs, streamLimit: 1_000 }),
      feed: (event) => this.#feed(event),
      serves: (instance) => this.#actors.isLively(instance, this.#at.nowMs),
    });
    for (const { decision, picked } of decided) {
      if (picked === null) continue;
      this.#picks += 1;
      this.#checks.picked(decision, picked, this.#state);
    }
  }

  #break(what: string): void {
    this.#broken ??= `at ${(this.#at.nowMs / 1_000).toFixed(2)} s: ${what}`;
  }
}

export interface SimulateOptions {
  readonly ms: number;
  readonly fault?: Fault;
  readonly backend?: Backend;
  readonly trace?: Trace;
  /** Surplus that drains, replacements and clones, too; without, a seed is the run it was before there were any. */
  readonly leavings?: boolean;
  /** Every tick looks at every member, also when nothing can be due (`RouterPools.lookAtMs`): the same run, slower. */
  readonly lookAlways?: boolean;
}

/** One run of one seed. The same seed and options give the same run. */
export function simulate(seed: number, options: SimulateOptions): SimulationResult {
  return new Simulation(seed, options).run(options.ms);
}
