import type { Decision, InstanceId } from '@sallyport/protocol';
import { createSeededRandom, type SeededRandom } from '@sallyport/testkit';
import {
  createPools,
  type Hello,
  type PoolEffect,
  type PoolEvent,
  type RouterPools,
} from '../../src/pool/pool-state.ts';
import { type Picked, route } from '../../src/pool/route.ts';
import { step } from '../../src/pool/step.ts';
import { defaultTiming } from '../../src/pool/timing.ts';
import { host, instanceId } from '../store/samples.ts';
import { type Fault, rulesWith } from './faults.ts';
import { type Backend, SimulatedStore } from './simulated-store.ts';
import { Leavings } from './leavings.ts';
import { Targets } from './targets.ts';
import { Turns } from './turns.ts';

/**
 * One pool and its router, simulated: the production step, pick and transactions under a schedule of deaths, blips,
 * freezes, pauses and kills of the router, resizes, cordons, drains and a slow store, all from one seed.
 *
 * Checked: I1 slots ≤ maximum · I2 who is picked holds that very slot in the store · I3 turns · I4, I8 nobody cordoned
 * or draining is picked, over any restart · I7 nobody is suspect or cut for a time in which the router did not run ·
 * I9 no slot is asked back within RJ of its link's closing · I12 targets (targets.ts) · I13 a free slot and a live standby meet within 1.5 s.
 */
export interface SimulationResult {
  readonly seed: number;
  readonly picks: number;
  readonly storeOps: number;
  /** What broke, with the simulated time; null when nothing did. */
  readonly broken: string | null;
}

interface Actor {
  readonly name: string;
  readonly id: InstanceId;
  link: string | null;
  /** The router has admitted its link. */
  welcome: boolean;
  nextBeatMs: number;
  frozenUntilMs: number;
  thawedAtMs: number;
  redialAtMs: number;
  heard: number;
  draining: boolean;
}

interface Due {
  readonly atMs: number;
  /** What a killed router takes with it: only the life it was asked in may see it. */
  readonly life: number;
  readonly run: () => void;
}

const { tickMs, beatMs, suspectMs, reserveMs, promoteMs } = defaultTiming;
const actorsAtOnce = 9;
const never = Number.POSITIVE_INFINITY;
const tick: PoolEvent = { kind: 'tick' };

export class Simulation {
  readonly #random: SeededRandom;
  readonly #store: SimulatedStore;
  readonly #targets: Targets;
  readonly #leavings: Leavings | null;
  readonly #lookAlways: boolean;
  readonly #rules: ReturnType<typeof rulesWith>;
  readonly #actors: Actor[] = [];
  #turns = new Turns();
  readonly #closedAtMs = new Map<string, number>();
  #state: RouterPools;
  /** The one beat, filled in anew for each: an instance sends 14,400 an hour. */
  readonly #beat = { kind: 'beat' as const, link: '', heard: 0, wallMs: 0 };
  #due: Due[] = [];
  /** When the first of them is due. */
  #dueAtMs = never;
  #nowMs = 0;
  #life = 1;
  #routerDownUntilMs = 0;
  #pausedUntilMs = 0;
  #resumedAtMs = 0;
  #slowUntilMs = 0;
  #disturbedAtMs = 0;
  #freeSinceMs = never;
  #nextTroubleMs = 0;
  #nextPickMs = 0;
  #names = 0;
  #links = 0;
  #picks = 0;
  #storeOps = 0;
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
    this.#state = this.#startRouter();
    for (let i = 0; i < maximum + this.#random.below(3); i += 1) this.#addActor(this.#random.below(500));
  }

  /** Runs `ms` of simulated time, or to the first thing that breaks. */
  run(ms: number): SimulationResult {
    while (this.#nowMs < ms && this.#broken === null) {
      this.#nowMs += tickMs;
      this.#turn();
      if (this.#store.broken !== null) this.#break(this.#store.broken);
      if (this.#leavings !== null && this.#leavings.broken !== null) this.#break(this.#leavings.broken);
      if (this.#targets.broken !== null) this.#break(this.#targets.broken);
    }
    this.#store.close();
    return { seed: this.#seed, picks: this.#picks, storeOps: this.#storeOps, broken: this.#broken };
  }

  #turn(): void {
    if (this.#nowMs >= this.#dueAtMs) this.#runDue();
    if (this.#nowMs < this.#pausedUntilMs) return;
    if (this.#pausedUntilMs > 0) {
      this.#pausedUntilMs = 0;
      this.#resumedAtMs = this.#nowMs;
    }
    if (this.#routerDownUntilMs > 0) {
      if (this.#nowMs < this.#routerDownUntilMs) return;
      this.#routerDownUntilMs = 0;
      this.#state = this.#startRouter();
    }
    // Timers first, then sockets: as libuv does, and as a router that wakes up does.
    if (this.#lookAlways) this.#state.lookAtMs = 0;
    this.#feed(tick);
    for (const actor of this.#actors) this.#live(actor);
    if (this.#nowMs >= this.#nextPickMs) this.#pick();
    if (this.#nowMs >= this.#nextTroubleMs) this.#trouble();
    if (this.#leavings !== null) this.#leaveMore(this.#leavings);
    this.#checkFreeSlot();
  }

  // --- instances

  #addActor(inMs: number): void {
    if (this.#actors.length >= actorsAtOnce) return;
    this.#names += 1;
    const name = `i${this.#names}`;
    this.#actors.push({
      name,
      id: instanceId(name),
      link: null,
      welcome: false,
      nextBeatMs: never,
      frozenUntilMs: 0,
      thawedAtMs: 0,
      redialAtMs: this.#nowMs + inMs,
      heard: 0,
      draining: false,
    });
  }

  #live(actor: Actor): void {
    if (actor.frozenUntilMs > this.#nowMs) return;
    if (actor.frozenUntilMs > 0) {
      actor.frozenUntilMs = 0;
      actor.thawedAtMs = this.#nowMs;
    }
    if (actor.link === null) {
      if (this.#nowMs >= actor.redialAtMs) this.#dial(actor);
      return;
    }
    if (actor.welcome && this.#nowMs >= actor.nextBeatMs) {
      actor.nextBeatMs = this.#nowMs + beatMs;
      actor.heard += 1;
      this.#beat.link = actor.link;
      this.#beat.heard = actor.heard;
      this.#beat.wallMs = this.#nowMs;
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
    actor.redialAtMs = this.#nowMs + redialInMs;
    if (link === null) return;
    this.#closedAtMs.set(actor.id, this.#nowMs);
    this.#feed({ kind: 'closed', link });
  }

  #kill(actor: Actor): void {
    this.#actors.splice(this.#actors.indexOf(actor), 1);
    this.#closeLink(actor, never);
  }

  #leave(actor: Actor, reason: 'stopped' | 'drained'): void {
    const row = this.#store.truth.members.find((member) => member.instance === actor.id);
    const { link } = actor;
    this.#actors.splice(this.#actors.indexOf(actor), 1);
    if (link === null) return;
    this.#feed({ kind: 'bye', link });
    this.#later(() => {
      const members = row === undefined ? [] : [row];
      const snapshot = this.#store.run({ method: 'leave', members, reason }, this.#nowMs);
      return { kind: 'snapshot', snapshot };
    });
    this.#closeLink(actor, never);
  }

  // --- the router

  #startRouter(): RouterPools {
    this.#life += 1;
    this.#state = createPools(defaultTiming, this.#nowMs, this.#rules);
    this.#resumedAtMs = this.#nowMs;
    this.#freeSinceMs = never;
    // Turns are strict per router and start: the cursor is in memory.
    this.#turns = new Turns();
    this.#feed({ kind: 'started', snapshots: [this.#store.read()] });
    return this.#state;
  }

  #feed(event: PoolEvent): void {
    if (this.#nowMs < this.#routerDownUntilMs) return;
    const effects = step(this.#state, event, this.#nowMs);
    if (this.#trace !== null && (effects.length > 0 || (event.kind !== 'beat' && event.kind !== 'tick'))) {
      this.#trace(`${(this.#nowMs / 1_000).toFixed(2)} ${traceOf(event)} → ${effects.map(traceOf).join(', ')}`);
    }
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: PoolEffect): void {
    switch (effect.kind) {
      case 'admit': {
        const { hello } = effect;
        const commit = this.#store.admit(hello, this.#nowMs);
        this.#later(() => ({ kind: 'admitted', link: hello.link, gateway: hello.gateway, ...commit() }));
        return;
      }
      case 'store': {
        const { op, gateway } = effect;
        if (op.method === 'reclaim') this.#checkReclaim(op.absent.map((ref) => ref.instance));
        this.#later(() => ({ kind: 'settled', gateway, snapshot: this.#store.run(op, this.#nowMs) }));
        return;
      }
      case 'welcome': {
        const actor = this.#holderOf(effect.link);
        if (actor === undefined) return;
        const isIn = effect.outcome.kind === 'slot' || effect.outcome.kind === 'standby';
        if (!isIn) return this.#closeLink(actor, 5_000);
        if (effect.outcome.kind === 'standby' && effect.intent.kind === 'drain') return this.#leave(actor, 'drained');
        actor.welcome = true;
        actor.nextBeatMs = this.#nowMs + this.#random.below(beatMs);
        return;
      }
      case 'refuse':
        this.#challenged.delete(effect.link);
        return this.#cut(effect.link);
      case 'cut':
        if (effect.why === 'taken-over') this.#checkTakeOver(effect.link);
        if (effect.why === 'silent') this.#checkSilence(effect.link);
        return this.#cut(effect.link, effect.why === 'silent' ? reserveMs : 0);
      case 'tell': {
        const { link, member } = effect;
        const actor = this.#holderOf(link);
        if (actor === undefined || actor.frozenUntilMs > this.#nowMs || member.membership !== 'slot') return;
        return this.#after(tickMs, () => this.#feed({ kind: 'acknowledged', link, epoch: member.epoch }));
      }
      case 'ejected':
        return this.#targets.heard(effect, this.#nowMs);
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
    const actor = this.#holderOf(link);
    if (actor === undefined) return;
    this.#closeLink(actor, this.#random.below(400));
    this.#closedAtMs.set(actor.id, this.#nowMs - reserveSpentMs);
  }

  #holderOf(link: string): Actor | undefined {
    return this.#actors.find((actor) => actor.link === link);
  }

  // --- the store, which takes its time

  /** Commits after a while and brings the answer after another; a router that was killed gets none. */
  #later(commit: () => PoolEvent): void {
    this.#storeOps += 1;
    const slow = this.#nowMs < this.#slowUntilMs;
    const one = slow ? this.#random.below(2_500) : this.#random.below(20);
    const two = slow ? this.#random.below(2_500) : this.#random.below(20);
    this.#after(one, () => {
      const event = commit();
      this.#after(two, () => this.#feed(event));
    });
  }

  /** Runs what this life of the router asked for. */
  #after(ms: number, run: () => void): void {
    const atMs = this.#nowMs + ms;
    this.#due.push({ atMs, life: this.#life, run });
    this.#dueAtMs = Math.min(this.#dueAtMs, atMs);
  }

  #runDue(): void {
    // A paused router gets its answers when it runs again, in the order in which they came.
    if (this.#nowMs < this.#pausedUntilMs) return;
    const now = this.#due.filter((due) => due.atMs <= this.#nowMs);
    this.#due = this.#due.filter((due) => due.atMs > this.#nowMs);
    this.#dueAtMs = this.#due.reduce((first, due) => Math.min(first, due.atMs), never);
    for (const due of now.sort((a, b) => a.atMs - b.atMs)) if (due.life === this.#life) due.run();
  }

  // --- trouble

  #trouble(): void {
    this.#nextTroubleMs = this.#nowMs + 500 + this.#random.below(30_000);
    this.#disturbedAtMs = this.#nowMs;
    const actor = this.#actors[this.#random.below(Math.max(1, this.#actors.length))];
    const kind = this.#random.below(14);
    if (this.#actors.length < 2 || kind === 0) return this.#addActor(this.#random.below(3_000));
    if (actor === undefined) return;
    if (kind <= 2) {
      this.#kill(actor);
      return this.#addActor(this.#random.below(20_000));
    }
    if (kind === 5) {
      // It comes back while the store is slow to give its place away.
      this.#slowUntilMs = this.#nowMs + 8_000;
      return this.#closeLink(actor, reserveMs + this.#random.below(2_500));
    }
    if (kind <= 4) return this.#closeLink(actor, this.#random.below(this.#random.below(3) === 0 ? 100_000 : 1_600));
    if (kind === 6) actor.frozenUntilMs = this.#nowMs + this.#random.below(12_000);
    else if (kind === 7) this.#pausedUntilMs = this.#nowMs + 300 + this.#random.below(12_000);
    else if (kind === 8) this.#killRouter();
    else if (kind === 9) this.#resize();
    else if (kind === 10) this.#toggleCordon(actor);
    else if (kind === 11) this.#drain(actor);
    else if (kind === 12) this.#slowUntilMs = this.#nowMs + 2_000 + this.#random.below(20_000);
    else for (const other of [...this.#actors]) this.#closeLink(other, this.#random.below(4_000));
  }

  #killRouter(): void {
    this.#life += 1;
    this.#due = [];
    this.#routerDownUntilMs = this.#nowMs + 500 + this.#random.below(5_000);
    for (const actor of this.#actors) {
      if (actor.link !== null) this.#closedAtMs.set(actor.id, this.#nowMs);
      actor.link = null;
      actor.welcome = false;
      actor.redialAtMs = this.#routerDownUntilMs + this.#random.below(3_000);
    }
  }

  #resize(): void {
    const snapshot = this.#store.setMaximum(1 + this.#random.below(5), this.#nowMs);
    this.#feed({ kind: 'snapshot', snapshot });
    if (this.#actors.length < snapshot.gateway.maxInstances + 1) this.#addActor(this.#random.below(2_000));
  }

  #toggleCordon(actor: Actor): void {
    const row = this.#store.truth.members.find((member) => member.instance === actor.id);
    const intent = row?.intent.kind === 'cordon' ? 'serve' : 'cordon';
    const snapshot = this.#store.setIntent(actor.id, { kind: intent }, this.#nowMs);
    if (snapshot === null) return;
    if (intent === 'cordon') this.#cordoned.add(actor.id);
    else this.#cordoned.delete(actor.id);
    this.#feed({ kind: 'snapshot', snapshot });
  }

  #drain(actor: Actor): void {
    const deadlineAtMs = this.#nowMs + 30_000;
    const snapshot = this.#store.setIntent(actor.id, { kind: 'drain', by: 'operator', deadlineAtMs }, this.#nowMs);
    if (snapshot === null || actor.draining) return;
    this.#cordoned.add(actor.id);
    actor.draining = true;
    this.#feed({ kind: 'snapshot', snapshot });
    this.#leaveIn(this.#random.below(30_000), actor);
    this.#addActor(this.#random.below(5_000));
  }

  /** Another process says hello with this identity, and never beats. */
  #clone(actor: Actor): void {
    this.#links += 1;
    const link = `clone#${this.#links}`;
    if (actor.link !== null && actor.welcome && !this.#wasQuiet(actor)) this.#challenged.set(link, actor.link);
    this.#hello(link, actor.id);
  }

  #leaveIn(ms: number, actor: Actor): void {
    this.#after(ms, () => {
      if (this.#actors.includes(actor)) this.#leave(actor, 'drained');
    });
  }

  /** Surplus that drains, members that are replaced, clones. */
  #leaveMore(leavings: Leavings): void {
    const leaving = leavings.next(this.#nowMs, this.#store);
    if (leaving === null) return;
    this.#disturbedAtMs = this.#nowMs;
    if ('clones' in leaving) {
      const actor = this.#actors[leaving.clones % Math.max(1, this.#actors.length)];
      return actor === undefined ? undefined : this.#clone(actor);
    }
    for (const { instance } of leaving.drained) this.#cordoned.add(instance);
    this.#feed({ kind: 'snapshot', snapshot: leaving.snapshot });
    for (const { instance, leavesInMs } of leaving.drained) {
      const actor = this.#actors.find((other) => other.id === instance);
      if (actor === undefined || actor.draining) continue;
      actor.draining = true;
      this.#leaveIn(leavesInMs, actor);
    }
    if (leaving.newcomerInMs !== null) this.#addActor(leaving.newcomerInMs);
  }

  // --- what must hold

  /** Who an operator told to take nothing new, and the store acknowledged. */
  readonly #cordoned = new Set<string>();

  /** Link of a clone → the link that was up and beat when it came. */
  readonly #challenged = new Map<string, string>();

  #pick(): void {
    this.#nextPickMs = this.#nowMs + 100 + this.#random.below(700);
    const pool = this.#state.pools.get(this.#store.gateway);
    if (pool === undefined) return;
    this.#targets.trouble(this.#nowMs, pool.ring);
    const decided = this.#targets.request({
      nowMs: this.#nowMs,
      route: ({ of, not, cause }) =>
        route(this.#state, pool, { of, not, cause, atMs: this.#nowMs, streamLimit: 1_000 }),
      feed: (event) => this.#feed(event),
      serves: (instance) => this.#isLively(instance),
    });
    for (const { decision, picked } of decided) if (picked !== null) this.#checkPick(decision, picked);
  }

  #checkPick(decision: Decision, picked: Picked): void {
    this.#picks += 1;
    const row = this.#store.truth.members.find((member) => member.instance === picked.instance);
    if (row?.membership !== 'slot' || row.epoch !== picked.epoch) {
      return this.#break(`I2: picked ${picked.instance}, which holds no slot of epoch ${picked.epoch} in the store`);
    }
    if (row.intent.kind !== 'serve' || this.#cordoned.has(picked.instance)) {
      return this.#break(`I4: picked ${picked.instance}, which an operator cordoned or drains`);
    }
    const unfair = this.#turns.note(decision);
    if (unfair !== null) return this.#break(`I3: ${unfair}`);
    this.#checkHealth();
  }

  /** Nobody who beats on time is suspect. */
  #checkHealth(): void {
    const pool = this.#state.pools.get(this.#store.gateway);
    for (const actor of this.#actors) {
      if (!actor.welcome || this.#wasQuiet(actor)) continue;
      if (pool?.members.get(actor.id)?.health === 'suspect') this.#break(`I7: ${actor.name} beats and is suspect`);
    }
  }

  #checkSilence(link: string): void {
    const actor = this.#holderOf(link);
    if (actor !== undefined && actor.welcome && !this.#wasQuiet(actor))
      this.#break(`I7: ${actor.name} beats and was cut`);
  }

  /** Who beats keeps its identity, whoever else says hello with it. */
  #checkTakeOver(link: string): void {
    const actor = this.#holderOf(link);
    if (actor === undefined || !actor.welcome || this.#wasQuiet(actor)) return;
    for (const kept of this.#challenged.values()) {
      if (kept === link) this.#break(`I7: ${actor.name} beats, and a clone took its place`);
    }
  }

  /** It is frozen, or was until lately. */
  #wasQuiet(actor: Actor): boolean {
    return actor.frozenUntilMs > 0 || (actor.thawedAtMs > 0 && this.#nowMs - actor.thawedAtMs < 2 * suspectMs);
  }

  #checkReclaim(absent: readonly InstanceId[]): void {
    for (const instance of absent) {
      const closedAtMs = this.#closedAtMs.get(instance) ?? 0;
      const actor = this.#actors.find((other) => other.id === instance);
      if (actor !== undefined && actor.welcome && !this.#wasQuiet(actor)) {
        this.#break(`I9: the slot of ${actor.name} is asked back while its link is up`);
      } else if (this.#nowMs - closedAtMs < reserveMs - tickMs && actor?.frozenUntilMs === 0) {
        this.#break(`I9: the slot of ${instance} is asked back ${this.#nowMs - closedAtMs} ms after its link closed`);
      }
    }
  }

  /** I13, where nothing else disturbs: the store answers, the router runs, the standby beats. */
  #checkFreeSlot(): void {
    const { truth, slots, room, hasLine } = this.#store;
    const calm =
      hasLine &&
      slots < room &&
      this.#nowMs > this.#slowUntilMs + 6_000 &&
      this.#nowMs - this.#resumedAtMs > promoteMs &&
      this.#nowMs - this.#disturbedAtMs > promoteMs &&
      truth.members.some(
        (row) => row.membership === 'standby' && row.intent.kind === 'serve' && this.#isLively(row.instance),
      );
    if (!calm) this.#freeSinceMs = never;
    else if (this.#freeSinceMs === never) this.#freeSinceMs = this.#nowMs;
    else if (this.#nowMs - this.#freeSinceMs > 1_500) this.#break('I13: a free slot and a live standby for 1.5 s');
  }

  #isLively(instance: InstanceId): boolean {
    const actor = this.#actors.find((other) => other.id === instance);
    return actor !== undefined && actor.welcome && !this.#wasQuiet(actor);
  }

  #break(what: string): void {
    this.#broken ??= `at ${(this.#nowMs / 1_000).toFixed(2)} s: ${what}`;
  }
}

type Trace = (line: string) => void;

/** An event or effect on one line, members as instance:membership/seq/epoch. */
function traceOf(of: PoolEvent | PoolEffect): string {
  const parts: string[] = [of.kind];
  if ('link' in of) parts.push(of.link);
  if ('hello' in of) parts.push(of.hello.link);
  if ('op' in of) parts.push(JSON.stringify(of.op));
  if ('snapshot' in of && of.snapshot !== null) {
    const { gateway, members } = of.snapshot;
    parts.push(`v${gateway.version} of ${gateway.maxInstances}:`);
    parts.push(...members.map((m) => `${m.instance}:${m.membership}/${m.seq}/${m.epoch % 1_000}/${m.intent.kind}`));
  }
  return parts.join(' ').replaceAll('_', '');
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
