import type { Decision, InstanceId } from '@sallyport/protocol';
import type { RouterPools } from '../../src/pool/pool-state.ts';
import type { Picked } from '../../src/pool/route.ts';
import { defaultTiming } from '../../src/pool/timing.ts';
import { type Actors, isLively, never } from './actors.ts';
import type { SimulatedStore } from './simulated-store.ts';
import { Turns } from './turns.ts';

/** Simulated milliseconds; the simulation moves them. */
export interface Moments {
  nowMs: number;
  /** The router runs again since. */
  resumedAtMs: number;
  slowUntilMs: number;
  disturbedAtMs: number;
}

const { tickMs, reserveMs, promoteMs } = defaultTiming;

/**
 * What must hold of one simulated pool, and what it takes to know it.
 *
 * I2 who is picked holds that very slot in the store · I3 turns · I4, I8 nobody cordoned or draining is picked, over any
 * restart · I7 nobody is suspect or cut for a time in which the router did not run · I9 no slot is asked back within RJ
 * of its link's closing · I13 a free slot and a live standby meet within 1.5 s.
 */
export class Checks {
  readonly #at: Moments;
  readonly #actors: Actors;
  readonly #store: SimulatedStore;
  readonly #break: (what: string) => void;
  #turns = new Turns();
  /** Who an operator told to take nothing new, and the store acknowledged. */
  readonly #cordoned = new Set<string>();
  /** Link of a clone → the link that was up and beat when it came. */
  readonly #challenged = new Map<string, string>();
  readonly #closedAtMs = new Map<string, number>();
  #freeSinceMs = never;

  constructor(at: Moments, actors: Actors, store: SimulatedStore, broke: (what: string) => void) {
    this.#at = at;
    this.#actors = actors;
    this.#store = store;
    this.#break = broke;
  }

  /** Turns are strict per router and start: the cursor is in memory. */
  routerStarted(): void {
    this.#freeSinceMs = never;
    this.#turns = new Turns();
  }

  cordoned(instance: InstanceId): void {
    this.#cordoned.add(instance);
  }

  uncordoned(instance: InstanceId): void {
    this.#cordoned.delete(instance);
  }

  linkClosed(instance: InstanceId, atMs: number): void {
    this.#closedAtMs.set(instance, atMs);
  }

  /** A clone says hello while the original holds `link` and beats. */
  challenged(clone: string, link: string): void {
    this.#challenged.set(clone, link);
  }

  refused(link: string): void {
    this.#challenged.delete(link);
  }

  picked(decision: Decision, picked: Picked, state: RouterPools): void {
    const row = this.#store.truth.members.find((member) => member.instance === picked.instance);
    if (row?.membership !== 'slot' || row.epoch !== picked.epoch) {
      return this.#break(`I2: picked ${picked.instance}, which holds no slot of epoch ${picked.epoch} in the store`);
    }
    if (row.intent.kind !== 'serve' || this.#cordoned.has(picked.instance)) {
      return this.#break(`I4: picked ${picked.instance}, which an operator cordoned or drains`);
    }
    const unfair = this.#turns.note(decision);
    if (unfair !== null) return this.#break(`I3: ${unfair}`);
    this.#checkHealth(state);
  }

  /** Nobody who beats on time is suspect. */
  #checkHealth(state: RouterPools): void {
    const pool = state.pools.get(this.#store.gateway);
    for (const actor of this.#actors.all) {
      if (!isLively(actor, this.#at.nowMs)) continue;
      if (pool?.members.get(actor.id)?.health === 'suspect') this.#break(`I7: ${actor.name} beats and is suspect`);
    }
  }

  cutForSilence(link: string): void {
    const actor = this.#actors.holderOf(link);
    if (actor !== undefined && isLively(actor, this.#at.nowMs)) this.#break(`I7: ${actor.name} beats and was cut`);
  }

  /** Who beats keeps its identity, whoever else says hello with it. */
  takenOver(link: string): void {
    const actor = this.#actors.holderOf(link);
    if (actor === undefined || !isLively(actor, this.#at.nowMs)) return;
    for (const kept of this.#challenged.values()) {
      if (kept === link) this.#break(`I7: ${actor.name} beats, and a clone took its place`);
    }
  }

  reclaimed(absent: readonly InstanceId[]): void {
    const { nowMs } = this.#at;
    for (const instance of absent) {
      const closedAtMs = this.#closedAtMs.get(instance) ?? 0;
      const actor = this.#actors.of(instance);
      if (actor !== undefined && isLively(actor, nowMs)) {
        this.#break(`I9: the slot of ${actor.name} is asked back while its link is up`);
      } else if (nowMs - closedAtMs < reserveMs - tickMs && actor?.frozenUntilMs === 0) {
        this.#break(`I9: the slot of ${instance} is asked back ${nowMs - closedAtMs} ms after its link closed`);
      }
    }
  }

  /** I13, where nothing else disturbs: the store answers, the router runs, the standby beats. */
  freeSlot(): void {
    const { truth, slots, room, hasLine } = this.#store;
    const { nowMs, slowUntilMs, resumedAtMs, disturbedAtMs } = this.#at;
    const calm =
      hasLine &&
      slots < room &&
      nowMs > slowUntilMs + 6_000 &&
      nowMs - resumedAtMs > promoteMs &&
      nowMs - disturbedAtMs > promoteMs &&
      truth.members.some(
        (row) =>
          row.membership === 'standby' && row.intent.kind === 'serve' && this.#actors.isLively(row.instance, nowMs),
      );
    if (!calm) this.#freeSinceMs = never;
    else if (this.#freeSinceMs === never) this.#freeSinceMs = nowMs;
    else if (nowMs - this.#freeSinceMs > 1_500) this.#break('I13: a free slot and a live standby for 1.5 s');
  }
}
