import type { InstanceId, JobId } from '@sallyport/protocol';
import {
  type AccountRows,
  beginLease,
  beginLeaseWatch,
  beginRun,
  type ClaimView,
  type Clocks,
  decideCancel,
  decideLogin,
  type Decision,
  elapsedMs,
  type Fence,
  fences,
  isOpen,
  type JobRow,
  type LeaseEffect,
  type LeaseEvent,
  type LeaseState,
  type LoginAnswer,
  type LoginRow,
  mayAct,
  observeLeases,
  retireWaitMs,
  type RunEffect,
  type RunEvent,
  type RunSettings,
  type RunState,
  staysTaken,
  stepLease,
} from '../../src/index.ts';
import { Broken } from '../model/broken.ts';
import { production, type Rules } from '../model/rules.ts';
import { firstWorld, type Flight, newJob, type Target } from '../model/world.ts';
import { bounds } from '../model/scopes.ts';
import { randomOf, Timeline } from './timeline.ts';

export interface SimulationOptions {
  readonly fence?: Fence;
  readonly rules?: Rules;
  /** The budget of logins is not asked. */
  readonly noBudget?: boolean;
  /** A holder goes on whatever its lease says. */
  readonly ignoresLease?: boolean;
  /** W, ms. */
  readonly leaseMs?: number;
  readonly trace?: (line: string) => void;
}
export interface SimulationResult {
  readonly seed: number;
  readonly broken: string | null;
  readonly ended: readonly string[];
}

const permitMs = 2_000;
const targetMs = 10_000;
const settleMs = targetMs + permitMs;
const chaosMs = 15 * 60_000;
const endMs = 24 * 3_600_000;
const lockoutAfter = 3;
/** A login goes out at most F after it was taken from the budget: by so much the target's window is shorter. */
const lockoutMs = 30 * 60_000 - 20_000;
const times = { fenceMs: 20_000, renewalMs: 5_000, answerMs: 2_000 };

interface Connection {
  isOpen: boolean;
}
interface Sent extends Flight {
  readonly connection: Connection;
  readonly permittedMs: number;
}
interface Instance {
  readonly nth: number;
  readonly id: InstanceId;
  isUp: boolean;
  /** Grows when it dies: what was meant for the process before reaches nobody. */
  life: number;
  stoppedUntilMs: number;
  /** How far its clocks stand behind. */
  lag: { monotonicMs: number; bootMs: number };
  lease: LeaseState;
  run: RunState | null;
  job: JobId | null;
  epoch: number;
  connection: Connection | null;
  mark: number;
  askedAt: Clocks | null;
  permittedMs: number;
  /** Grows with each effect: an answer to one from before is no answer. */
  serial: number;
  key: string;
  /** The effect that begins when the lease is there again. */
  isHeld: boolean;
  isClaiming: boolean;
}

/** One schedule of one account: everything that happens follows from the seed. */
export function simulate(seed: number, options: SimulationOptions = {}): SimulationResult {
  return new Simulation(seed, options).run();
}

class Simulation {
  readonly #seed: number;
  readonly #options: SimulationOptions;
  readonly #rules: Rules;
  readonly #random: () => number;
  readonly #time = new Timeline();
  readonly #settings: RunSettings;
  readonly #instances: Instance[];
  readonly #jobs = new Map<JobId, JobRow>();
  readonly #answers = new Map<string, RunEvent>();
  readonly #leases = new Map<string, { instance: string; lease: number; renewals: number }>();
  readonly #promotions = new Map<JobId, number>();
  readonly #flight = new Set<Sent>();
  readonly #connections: { readonly by: number; readonly connection: Connection }[] = [];
  readonly #loss: number;
  readonly #policies: number;
  readonly #hasHistory: boolean;
  readonly #history: number[] = [];
  #shared: Omit<AccountRows, 'job' | 'logins'>;
  #logins: readonly LoginRow[] = [];
  #loginIds = 0;
  #refusedAt: number[] = [];
  #target: Target = { opens: [0], mark: 0, took: 0 };
  #rev = 1;
  #editedRev = 0;
  /** Something that R2 excuses: attention, an edit, or (fence `none`) a write later than its limits. */
  #isExcused = false;
  #isLate = false;
  /** Fence `additive`: a write of a candidate that was given up came later. */
  #isGivenUp = false;
  /** Jobs for what is left over: how many were made since it is, and whether one is planned. */
  #retirements = { tries: 0, isPlanned: false };
  #lastLease = 0;
  #watch = beginLeaseWatch();
  #routerAwayUntilMs = 0;
  #targetAwayUntilMs = 0;
  #agreesAtMs = 0;

  constructor(seed: number, options: SimulationOptions) {
    this.#seed = seed;
    this.#options = options;
    this.#rules = options.rules ?? production;
    this.#random = randomOf(seed);
    const fence = options.fence ?? fences[Math.floor(this.#random() * fences.length)] ?? 'none';
    const by = (fence === 'compare' || fence === 'none') && this.#chance(0.5) ? 'own' : 'admin';
    const replicas = this.#chance(0.3) ? 2 : 0;
    this.#settings = { by, fence, settleMs, replicas, waitFirstMs: 1_000, waitMaxMs: 60_000, waitsAtMost: 8 };
    const { account, versions } = firstWorld(bounds.full).rows;
    this.#shared = { account, versions };
    this.#loss = this.#chance(0.7) ? this.#random() * 0.15 : 0;
    this.#policies = this.#chance(0.3) ? this.#random() * 0.5 : 0;
    this.#hasHistory = this.#chance(0.3);
    const count = 2 + Math.floor(this.#random() * 3);
    this.#instances = Array.from({ length: count }, (_, nth) => this.#newInstance(nth));
  }

  run(): SimulationResult {
    const result = (broken: string | null): SimulationResult => ({
      seed: this.#seed,
      broken,
      ended: [...this.#jobs.values()].map(({ id, state, why }) => `${id} ${state} ${why}`),
    });
    try {
      this.#say(`${this.#settings.fence} by ${this.#settings.by}, ${this.#instances.length} instances`);
      this.#plan();
      for (const each of this.#instances) this.#tick(each);
      this.#judge();
      while (this.#time.step(endMs)) {
        this.#check();
        if (this.#isQuiet()) break;
      }
      this.#checkQuiet();
      return result(null);
    } catch (error) {
      if (error instanceof Broken) return result(`${error.message} (${this.#settings.fence}, ${this.#time.nowMs} ms)`);
      throw error;
    }
  }

  #say(line: string): void {
    this.#options.trace?.(`${(this.#time.nowMs / 1_000).toFixed(3)} ${line}`);
  }
  #chance(p: number): boolean {
    return this.#random() < p;
  }
  /** A fault of the network or of a machine: none once it shall become quiet. */
  #fault(p: number): boolean {
    return this.#time.nowMs < chaosMs && this.#chance(p);
  }
  #delay(): number {
    return this.#fault(0.03) ? this.#random() * 30_000 : 1 + this.#random() * 200;
  }

  #newInstance(nth: number): Instance {
    return {
      ...{ nth, id: `instance${nth}` as InstanceId, isUp: true, life: 0, stoppedUntilMs: 0 },
      ...{ lag: { monotonicMs: 0, bootMs: 0 }, lease: beginLease(times), run: null, job: null, epoch: 0 },
      ...{ connection: null, mark: 0, askedAt: null, permittedMs: 0, serial: 0, key: '', isHeld: false },
      isClaiming: false,
    };
  }

  /** What people and bad luck do. */
  #plan(): void {
    const jobs = 1 + Math.floor(this.#random() * 3);
    for (let nth = 1; nth <= jobs; nth += 1) {
      this.#time.after(nth === 1 ? 0 : this.#random() * chaosMs, () => {
        const kind = nth > 1 && this.#chance(0.2) ? 'check' : 'rotate';
        const job = { ...newJob(nth), kind } as const;
        this.#jobs.set(job.id, job);
        this.#say(`order ${job.id} ${kind}`);
      });
    }
    const some = (most: number): number => Math.floor(this.#random() * (most + 1));
    for (let n = this.#chance(0.2) ? 1 : 0; n > 0; n -= 1) this.#time.after(this.#soon(), () => this.#edit());
    for (let n = some(2); n > 0; n -= 1) this.#time.after(this.#soon(), () => this.#routerDies());
    for (let n = some(3); n > 0; n -= 1) this.#time.after(this.#soon(), () => this.#dies(this.#anyInstance()));
    for (let n = some(4); n > 0; n -= 1) this.#time.after(this.#soon(), () => this.#stops(this.#anyInstance()));
    for (let n = some(1); n > 0; n -= 1) {
      this.#time.after(this.#soon(), () => {
        this.#targetAwayUntilMs = this.#time.nowMs + this.#random() * 60_000;
      });
    }
    if (this.#chance(0.1)) this.#time.after(this.#soon(), () => this.#cancel());
  }
  /** Most of it while somebody is at work. */
  #soon(): number {
    return this.#chance(0.7) ? this.#random() * 20_000 : this.#random() * chaosMs;
  }
  #anyInstance(): Instance {
    const busy = this.#instances.filter(({ run }) => run !== null);
    const among = busy.length > 0 && this.#chance(0.8) ? busy : this.#instances;
    const one = among[Math.floor(this.#random() * among.length)];
    if (one === undefined) throw new Error('no instance');
    return one;
  }

  #edit(): void {
    this.#rev += 1;
    this.#editedRev = this.#rev;
    this.#isExcused = true;
    this.#say(`the record is edited: revision ${this.#rev}`);
  }
  #cancel(): void {
    const job = [...this.#jobs.values()].find((each) => isOpen(each));
    if (job === undefined) return;
    const decided = decideCancel({ account: this.#shared.account, job });
    if (!decided.ok) return;
    this.#say(`cancel ${job.id}`);
    this.#jobs.set(job.id, decided.rows.job);
    if (decided.rows.account !== null) this.#shared = { ...this.#shared, account: decided.rows.account };
  }
  #routerDies(): void {
    this.#routerAwayUntilMs = this.#time.nowMs + this.#random() * 45_000;
    this.#watch = beginLeaseWatch();
    this.#say(`the router is away until ${Math.round(this.#routerAwayUntilMs)} ms`);
  }
  #dies(who: Instance): void {
    this.#say(`${who.id} dies`);
    const life = who.life + 1;
    // A process is an instance: the next one has a name of its own.
    const id = `instance${who.nth}.${life}`;
    Object.assign(who, { ...this.#newInstance(who.nth), id, life, isUp: false });
    this.#time.after(this.#random() * 60_000, () => {
      if (who.life !== life) return;
      who.isUp = true;
      this.#tick(who);
    });
  }
  /** Stopped, asleep, or a guest that was frozen: each is seen by fewer clocks. */
  #stops(who: Instance): void {
    const ms = this.#chance(0.5) ? this.#random() * 90_000 : this.#random() * 10_000;
    who.stoppedUntilMs = Math.max(who.stoppedUntilMs, this.#time.nowMs + ms);
    const sleeps = this.#chance(0.5);
    if (sleeps) who.lag.monotonicMs += ms;
    if (sleeps && this.#chance(0.5)) who.lag.bootMs += ms;
    this.#say(`${who.id} stands still for ${Math.round(ms)} ms`);
  }

  /** In the process that was meant, when it runs again. */
  #at(who: Instance, ms: number, run: () => void): void {
    const { life } = who;
    const begin = (): void => {
      if (who.life !== life || !who.isUp) return;
      const left = who.stoppedUntilMs - this.#time.nowMs;
      if (left > 0) this.#time.after(left, begin);
      else run();
    };
    this.#time.after(ms, begin);
  }
  #clocks({ lag }: Instance): Clocks {
    const { nowMs } = this.#time;
    return { monotonicMs: nowMs - lag.monotonicMs, bootMs: nowMs - lag.bootMs, wallMs: nowMs };
  }

  #tick(who: Instance): void {
    this.#tell(who, { type: 'tick' });
    if (who.run === null && !who.isClaiming && mayAct(who.lease, this.#clocks(who))) this.#claim(who);
    this.#at(who, 1_000, () => this.#tick(who));
  }

  /** To the store and back; both ways may be lost, and what arrives may arrive twice. */
  #call<Answer>(who: Instance, act: () => Answer, told: (answer: Answer | null) => void): void {
    let isOver = false;
    const once = (answer: Answer | null): void => {
      if (isOver) return;
      isOver = true;
      told(answer);
    };
    this.#at(who, times.answerMs, () => once(null));
    for (let n = this.#fault(this.#loss) ? 2 : 1; n > 0; n -= 1) {
      if (this.#fault(this.#loss)) continue;
      this.#time.after(this.#delay(), () => {
        if (this.#time.nowMs < this.#routerAwayUntilMs) return;
        const answer = act();
        if (this.#fault(this.#loss)) return;
        this.#at(who, this.#delay(), () => once(answer));
      });
    }
  }

  #tell(who: Instance, event: LeaseEvent): void {
    const step = stepLease(who.lease, event, this.#clocks(who));
    who.lease = step.state;
    for (const effect of step.effects) {
      if (effect.do === 'ask') this.#renew(who, effect);
      else this.#say(`${who.id} ${effect.do} ${effect.lease}`);
      if (effect.do === 'abandon' && !this.#options.ignoresLease) this.#forget(who);
      if (effect.do === 'go' && who.isHeld) this.#begin(who);
    }
  }
  #renew(who: Instance, { lease, after, askedAt }: LeaseEffect & { do: 'ask' }): void {
    // What is under way may arrive after its process ended: it speaks for that one.
    const { id } = who;
    this.#call(
      who,
      () => {
        const row = this.#leases.get(id);
        if (lease === null) {
          if (row !== undefined && row.lease > after) {
            this.#leases.set(id, { ...row, renewals: row.renewals + 1 });
            return row.lease;
          }
          if (row !== undefined) this.#giveAway(id, row.lease);
          this.#lastLease += 1;
          this.#leases.set(id, { instance: id, lease: this.#lastLease, renewals: 0 });
          return this.#lastLease;
        }
        if (row?.lease !== lease) return 0;
        this.#leases.set(id, { ...row, renewals: row.renewals + 1 });
        return lease;
      },
      (answer) => {
        if (answer === null) this.#tell(who, { type: 'unanswered', askedAt });
        else if (answer === 0) this.#tell(who, { type: 'lost', askedAt });
        else this.#tell(who, { type: 'answered', lease: answer, askedAt, times });
      },
    );
  }
  #giveAway(instance: string, lease: number): void {
    this.#leases.delete(instance);
    for (const job of this.#jobs.values()) {
      if (job.state !== 'running' || job.holder?.instance !== instance || job.holder.lease !== lease) continue;
      this.#jobs.set(job.id, { ...job, state: 'queued', holder: null });
      this.#say(`${job.id} is taken from ${instance}`);
    }
  }
  #judge(): void {
    const isAway = this.#time.nowMs < this.#routerAwayUntilMs;
    const rules = { leaseMs: this.#options.leaseMs ?? 30_000, gapMs: 2_000 };
    const looked = observeLeases(this.#watch, isAway ? null : [...this.#leases.values()], this.#time.nowMs, rules);
    this.#watch = looked.watch;
    for (const row of looked.over) this.#giveAway(row.instance, row.lease);
    this.#time.after(1_000, () => this.#judge());
  }

  #rows(job: JobRow): AccountRows {
    return { ...this.#shared, job, logins: this.#logins };
  }
  #store(rows: AccountRows): void {
    const before = this.#shared;
    const { account, versions, job } = rows;
    if (account.epoch < before.account.epoch || account.send < before.account.send) {
      throw new Broken('R5 a number went back');
    }
    for (const { n } of before.versions) {
      if (!versions.some((each) => each.n === n)) throw new Broken(`R8 version ${n} was removed`);
    }
    if (new Set(job.sends.map(({ send }) => send)).size < job.sends.length)
      throw new Broken('R3 two permits, one number');
    if (job.attempts > 3) throw new Broken('I15 a fourth claim without progress');
    if (job.state === 'attention') this.#isExcused = true;
    this.#shared = { account, versions };
    this.#jobs.set(job.id, job);
    this.#planRetirement(job);
    if ([...this.#jobs.values()].filter((each) => each.state === 'running').length > 1) {
      throw new Broken('R7 two jobs of one account run');
    }
  }

  /** As the store does it after every end. */
  #planRetirement(job: JobRow): void {
    const { account } = this.#shared;
    if (account.leftover === null || job.kind === 'rotate') this.#retirements.tries = 0;
    if (account.leftover === null || isOpen(job) || this.#retirements.isPlanned) return;
    const wait = retireWaitMs(this.#retirements.tries);
    if (wait === null) return;
    this.#retirements.isPlanned = true;
    const begin = (): void => {
      const isBusy = [...this.#jobs.values()].some((each) => isOpen(each));
      if (isBusy) return this.#time.after(60_000, begin);
      this.#retirements.isPlanned = false;
      if (this.#shared.account.leftover === null) return;
      this.#retirements.tries += 1;
      const next = newJob(100 + this.#jobs.size, 'retire');
      this.#jobs.set(next.id, next);
      this.#say(`order ${next.id} retire`);
    };
    this.#time.after(wait, begin);
  }

  #claim(who: Instance): void {
    const { nowMs } = this.#time;
    const lease = who.lease.held?.lease ?? 0;
    const { id } = who;
    // What it holds without knowing it: the answer to its claim was lost.
    const isUnknown = ({ state, holder }: JobRow): boolean =>
      state === 'running' && holder?.instance === id && holder.lease === lease;
    const open = [...this.#jobs.values()].filter(
      (job) => isUnknown(job) || ((job.state === 'queued' || job.state === 'waiting') && job.notBeforeMs <= nowMs),
    );
    const chosen = open[Math.floor(this.#random() * open.length)];
    if (chosen === undefined) return;
    who.isClaiming = true;
    this.#call(
      who,
      () => {
        const job = this.#jobs.get(chosen.id);
        if (job === undefined || this.#leases.get(id)?.lease !== lease) return 'refused' as const;
        if (job.state === 'waiting' && job.notBeforeMs > this.#time.nowMs) return 'refused' as const;
        const request = { instance: id, lease, secretsRev: this.#rev };
        const decision = this.#rules.claim(this.#rows(job), request, this.#time.nowMs);
        this.#store(decision.rows);
        return decision.ok ? this.#viewOf(decision.rows, decision.answer.epoch) : ('refused' as const);
      },
      (view) => {
        who.isClaiming = false;
        if (view === null || view === 'refused' || who.lease.held?.lease !== lease) return;
        this.#say(`${who.id} holds ${chosen.id} in epoch ${view.epoch} at ${view.step}`);
        Object.assign(who, { run: beginRun(view, this.#settings), job: chosen.id, epoch: view.epoch });
        this.#next(who, { type: 'begin' });
      },
    );
  }
  #viewOf({ account, versions, job }: AccountRows, epoch: number): ClaimView {
    const { kind, step, base, candidate, rejections, sends } = job;
    if (kind === 'after') throw new Error('what only follows a rotation has no run');
    return {
      ...{ kind, epoch, step, base: base ?? 0, current: account.current ?? 0, candidate, rejections, sends },
      ...{ address: null, versions: versions.map(({ n, state }) => ({ n, state })) },
    };
  }

  #forget(who: Instance): void {
    if (who.connection !== null) who.connection.isOpen = false;
    Object.assign(who, { run: null, job: null, connection: null, isHeld: false, serial: who.serial + 1 });
  }
  #next(who: Instance, event: RunEvent): void {
    if (who.run === null) return;
    const wasPermit = who.run.effect?.do === 'permit';
    const step = this.#rules.step(who.run, event);
    who.run = step.state;
    who.serial += 1;
    const isAgain = event.type === 'store-away' || (event.type === 'resumed' && step.effect?.do !== 'permit');
    if (!isAgain || wasPermit) who.key = `${who.id}.${who.life}.${who.serial}`;
    if (step.effect === null || step.effect.do === 'abandon') this.#forget(who);
    else this.#begin(who);
  }

  #begin(who: Instance): void {
    const effect = who.run?.effect;
    if (effect === null || effect === undefined) return;
    if (!this.#options.ignoresLease && !mayAct(who.lease, this.#clocks(who))) {
      who.isHeld = effect.do !== 'write';
      if (effect.do === 'write') this.#next(who, { type: 'not-sent' });
      return;
    }
    who.isHeld = false;
    this.#say(`${who.id} ${JSON.stringify(effect)}`);
    const { serial } = who;
    const answer = (event: RunEvent): void => {
      if (who.serial === serial && who.run !== null) this.#next(who, event);
    };
    this.#act(who, effect, answer);
  }

  #act(who: Instance, effect: RunEffect, answer: (event: RunEvent) => void): void {
    switch (effect.do) {
      case 'connect':
        this.#connect(who, effect.version, answer);
        break;
      case 'evict':
        this.#at(who, this.#delay(), () => {
          if (this.#rules.evicts) this.#evict(who);
          answer({ type: 'evicted', all: true });
        });
        break;
      case 'write':
        this.#write(who, effect, answer);
        break;
      case 'probe':
        this.#login(who, effect.version, (said) =>
          answer(typeof said === 'string' ? { type: 'probed', answer: said } : said),
        );
        break;
      case 'retire':
        this.#retire(who, effect.version, answer);
        break;
      case 'converge':
        this.#at(who, this.#delay(), () => answer({ type: 'agreed', all: this.#time.nowMs >= this.#agreesAtMs }));
        break;
      case 'pause': {
        const ms = effect.untilMs === null ? effect.ms : effect.untilMs - this.#time.nowMs;
        this.#at(who, ms, () => answer({ type: 'resumed' }));
        break;
      }
      case 'after':
        this.#at(who, this.#delay(), () => answer({ type: 'after-done' }));
        break;
      case 'rehearse':
      case 'abandon':
        throw new Error(`${effect.do} has no place here`);
      default:
        this.#ask(who, effect, answer);
    }
  }

  /** Asks the store, under a key that it knows again; nobody is given a permit twice, or told anything of a lost job. */
  #ask(who: Instance, effect: RunEffect, answer: (event: RunEvent) => void): void {
    const { key, epoch, job: id, serial } = who;
    const at = { instance: who.id, epoch };
    if (effect.do === 'permit') who.askedAt = this.#clocks(who);
    const { mark } = who;
    this.#call(
      who,
      (): RunEvent | null => {
        const job = id === null ? undefined : this.#jobs.get(id);
        if (job === undefined) return { type: 'fenced' };
        const isOurs = job.state === 'running' && job.epoch === epoch && job.holder?.instance === at.instance;
        const before = this.#answers.get(key);
        const isEnd = effect.do === 'finish' || effect.do === 'wait';
        if (before !== undefined) {
          if (!isOurs && !isEnd) return { type: 'fenced' };
          return effect.do === 'permit' ? null : before;
        }
        const event = this.#decide(effect, this.#rows(job), at, mark, isOurs);
        if (event.type !== 'fenced') this.#answers.set(key, event);
        return event;
      },
      (event) => {
        if (event?.type === 'impossible' && who.serial === serial) {
          throw new Broken(`the machine asked for what is refused: ${effect.do}`);
        }
        if (event?.type === 'permitted') who.permittedMs = this.#time.nowMs;
        answer(event ?? { type: 'store-away' });
      },
    );
  }
  #decide(
    effect: RunEffect,
    rows: AccountRows,
    at: { instance: InstanceId; epoch: number },
    mark: number,
    isOurs: boolean,
  ): RunEvent {
    const { nowMs } = this.#time;
    const decided = <Answer>(decision: Decision<Answer>, event: (answer: Answer) => RunEvent): RunEvent => {
      if (!decision.ok && decision.code === 'PAM_CONFLICT') {
        // Whoever waits for it has asked for what can never be given; a question that came late asks in vain.
        return { type: 'impossible', why: 'internal' };
      }
      this.#store(decision.rows);
      return decision.ok ? event(decision.answer) : { type: 'fenced' };
    };
    switch (effect.do) {
      case 'stage':
        return decided(this.#rules.stage(rows, { ...at, rev: (rows.job.base ?? 0) + 1 }, nowMs), ({ version }) => ({
          ...{ type: 'staged', version },
        }));
      case 'permit': {
        const adds = this.#settings.fence === 'additive';
        const permit = this.#rules.permit(rows, { ...at, mark, adds, address: '' });
        if (permit.ok && !isOurs) throw new Broken('I14 a permit for somebody who does not hold the job');
        return decided(permit, ({ send }) => ({ type: 'permitted', send }));
      }
      case 'report': {
        const what = { kind: 'wrote', send: effect.send, outcome: effect.outcome } as const;
        return decided(this.#rules.report(rows, { ...at, what }), () => ({ type: 'reported' }));
      }
      case 'verified': {
        const what = { kind: 'verified', version: effect.version, send: effect.send } as const;
        return decided(this.#rules.report(rows, { ...at, what }), () => ({ type: 'recorded' }));
      }
      case 'converged': {
        const what = { kind: 'converged', agreed: effect.agreed } as const;
        return decided(this.#rules.report(rows, { ...at, what }), () => ({ type: 'recorded' }));
      }
      case 'retired': {
        const what = { kind: 'retired', version: effect.version } as const;
        return decided(this.#rules.report(rows, { ...at, what }), () => ({ type: 'recorded' }));
      }
      case 'promote': {
        const promote = this.#rules.promote(rows, { ...at, version: effect.version, secretsRev: this.#rev });
        if (promote.ok && promote.answer.kind === 'promoted' && !promote.answer.again) this.#promoted(rows.job);
        return decided(promote, ({ kind }) => ({ type: kind }));
      }
      case 'wait': {
        const inMs = effect.untilMs === null ? effect.ms : Math.max(0, effect.untilMs - nowMs);
        return decided(this.#rules.wait(rows, { ...at, inMs, why: effect.why }, nowMs), () => ({ type: 'recorded' }));
      }
      case 'finish':
        return decided(this.#rules.finish(rows, { ...at, outcome: effect.outcome, why: effect.why }), () => ({
          type: 'recorded',
        }));
      default:
        throw new Error(`${effect.do} is no call`);
    }
  }
  #promoted(job: JobRow): void {
    if (this.#editedRev > (job.base ?? 0)) throw new Broken('R9 an edit was overwritten');
    const promotions = (this.#promotions.get(job.id) ?? 0) + 1;
    if (promotions > 1) throw new Broken('R7 two promotions in one run');
    this.#promotions.set(job.id, promotions);
    this.#rev += 1;
    this.#isExcused = false;
  }

  #connect(who: Instance, version: number | null, answer: (event: RunEvent) => void): void {
    if (who.connection !== null) who.connection.isOpen = false;
    who.connection = null;
    const opened = (): void => {
      const connection = { isOpen: true };
      who.connection = connection;
      who.mark = this.#target.mark;
      this.#connections.push({ by: who.nth, connection });
      if (this.#fault(0.05)) this.#time.after(this.#random() * 5_000, () => (connection.isOpen = false));
      answer({ type: 'connected', mark: who.mark });
    };
    if (version === null) {
      const isAway = this.#time.nowMs < this.#targetAwayUntilMs || this.#fault(0.03);
      this.#at(who, this.#delay(), isAway ? () => answer({ type: 'not-connected', answer: 'unreachable' }) : opened);
      return;
    }
    this.#login(who, version, (said) => {
      if (typeof said !== 'string') answer(said);
      else if (said === 'opens') opened();
      else answer({ type: 'not-connected', answer: said });
    });
  }
  /** Taken from the budget before, returned when it cost nothing. */
  #login(who: Instance, version: number, told: (said: LoginAnswer | RunEvent) => void): void {
    const { serial, life } = who;
    this.#loginIds += 1;
    const id = `login${this.#loginIds}`;
    const buy = (act: 'take' | 'return') => (): { granted: boolean; untilMs: number } => {
      const { nowMs } = this.#time;
      const bought = decideLogin({ account: this.#shared.account, logins: this.#logins }, { id, act }, nowMs);
      this.#logins = bought.rows.logins;
      return { granted: bought.granted || this.#options.noBudget === true, untilMs: nowMs + bought.inMs };
    };
    this.#call(who, buy('take'), (bought) => {
      if (who.serial !== serial || who.life !== life) return;
      if (bought === null) return told({ type: 'store-away' });
      if (!bought.granted) return told({ type: 'budget-empty', untilMs: bought.untilMs });
      if (!this.#options.ignoresLease && !mayAct(who.lease, this.#clocks(who))) {
        who.isHeld = true;
        return;
      }
      const said = this.#answerTo(version);
      this.#say(`${who.id} logs in with ${version}: ${said}`);
      if (!staysTaken(said)) this.#call(who, buy('return'), () => undefined);
      this.#at(who, this.#delay(), () => told(said));
    });
  }
  #answerTo(version: number): LoginAnswer {
    const { nowMs } = this.#time;
    if (nowMs < this.#targetAwayUntilMs) return 'unreachable';
    if (this.#fault(0.03)) return 'unknown';
    if (this.#target.opens.includes(version)) return 'opens';
    this.#refusedAt = [...this.#refusedAt.filter((atMs) => atMs > nowMs - lockoutMs), nowMs];
    if (this.#refusedAt.length >= lockoutAfter) throw new Broken('R6 the account is locked out');
    return 'refused';
  }

  /** It may be away, refuse, or do it and not be heard. */
  #retire(who: Instance, version: number, answer: (event: RunEvent) => void): void {
    const isAway = this.#time.nowMs < this.#targetAwayUntilMs || this.#fault(0.2);
    const refuses = this.#fault(0.1);
    const isDone = !isAway && !refuses;
    this.#time.after(this.#delay(), () => {
      if (isDone || (isAway && this.#fault(0.3))) this.#target = this.#rules.retire(this.#target, version);
      const said = refuses ? 'refused' : 'unreachable';
      this.#at(who, this.#delay(), () =>
        answer(isDone ? { type: 'retired' } : { type: 'not-connected', answer: said }),
      );
    });
  }

  #evict(who: Instance): void {
    for (const { connection } of this.#connections) if (connection !== who.connection) connection.isOpen = false;
    for (const sent of this.#flight) if (sent.connection !== who.connection) this.#flight.delete(sent);
  }

  #write(who: Instance, effect: RunEffect & { do: 'write' }, answer: (event: RunEvent) => void): void {
    const { connection } = who;
    const isLate = who.askedAt === null || elapsedMs(who.askedAt, this.#clocks(who)) > permitMs;
    const isGone = connection === null || (!connection.isOpen && this.#rules.sameConnection);
    if (isLate || isGone) return answer({ type: 'not-sent' });
    const { send, version, old } = effect;
    const job = who.job === null ? undefined : this.#jobs.get(who.job);
    if (job?.epoch !== who.epoch || job.holder?.instance !== who.id) throw new Broken('I14 who lost the job writes');
    const { permittedMs } = who;
    const sent = { by: who.nth, send, version, old, isOnCurrent: true, isOverdue: false, connection, permittedMs };
    this.#flight.add(sent);
    if (!this.#shared.versions.some(({ n }) => n === version)) throw new Broken('R7 what is written is not stored');
    this.#at(who, targetMs, () => {
      if (who.connection === connection) connection.isOpen = false;
      answer({ type: 'wrote', outcome: 'unknown' });
    });
    const waitMs = this.#fault(0.15) ? this.#random() * 90_000 : this.#delay();
    this.#time.after(waitMs, () => this.#arrive(who, sent, answer));
  }
  /** The target takes it or not; its writer may never hear of it. */
  #arrive(who: Instance, sent: Sent, answer: (event: RunEvent) => void): void {
    if (!this.#flight.delete(sent) || (!sent.connection.isOpen && this.#fault(0.3))) return;
    const { fence } = this.#settings;
    const hears = (outcome: 'applied' | 'fenced' | 'policy'): void => {
      this.#say(`write ${sent.send} of ${sent.version}: ${outcome}`);
      if (this.#fault(this.#loss)) return;
      this.#at(who, this.#delay(), () => {
        if (who.connection === sent.connection && sent.connection.isOpen) answer({ type: 'wrote', outcome });
      });
    };
    const isKnown = this.#hasHistory && this.#history.includes(sent.version);
    if (isKnown || this.#chance(this.#policies)) return hears('policy');
    const target = this.#rules.take(this.#target, sent, fence);
    if (target === null) return hears('fenced');
    if (fence !== 'none' && fence !== 'additive' && sent.send <= this.#target.took) {
      throw new Broken(`R3 write ${sent.send} took effect after ${this.#target.took}`);
    }
    if (fence === 'none' && this.#time.nowMs > sent.permittedMs + targetMs) this.#isLate = true;
    const isOfJob = [...this.#jobs.values()].some((job) => isOpen(job) && job.candidate === sent.version);
    if (!isOfJob && this.#shared.account.current !== sent.version) this.#isGivenUp = true;
    this.#target = target;
    this.#history.push(sent.version);
    this.#agreesAtMs = this.#time.nowMs + this.#random() * 20_000;
    hears('applied');
  }

  #check(): void {
    const { versions, account } = this.#shared;
    const isStored = this.#target.opens.some((version) => versions.some(({ n }) => n === version));
    if (account.current !== null && !isStored) throw new Broken('R1 no stored version opens the account');
  }
  #isQuiet(): boolean {
    const isOver = this.#time.nowMs > chaosMs + 120_000;
    return isOver && !this.#retirements.isPlanned && ![...this.#jobs.values()].some((job) => isOpen(job));
  }
  #checkQuiet(): void {
    const open = [...this.#jobs.values()].find((job) => isOpen(job));
    if (open !== undefined) throw new Broken(`never quiet: ${open.id} ${open.state} ${open.step} ${open.why}`);
    const { current, leftover } = this.#shared.account;
    const isExtra = this.#target.opens.some((version) => version !== current);
    if (current !== null && isExtra && leftover === null && !this.#isGivenUp && !this.#isExcused) {
      if (this.#target.opens.length > 1)
        throw new Broken(`R10 ${this.#target.opens.join()} opens, and nothing says so`);
    }
    if (current === null || this.#isExcused || this.#isLate || this.#target.opens.includes(current)) return;
    throw new Broken(`R2 the vault holds ${current}, and ${this.#target.opens.join()} opens`);
  }
}
