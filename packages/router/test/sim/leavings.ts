import type { InstanceId } from '@sallyport/protocol';
import { createSeededRandom, type SeededRandom } from '@sallyport/testkit';
import type { PoolSnapshot } from '../../src/pool/index.ts';
import type { SimulatedStore } from './simulated-store.ts';

interface Leaving {
  readonly snapshot: PoolSnapshot;
  /** Who begins to drain, and after how long it is done. */
  readonly drained: readonly { readonly instance: InstanceId; readonly leavesInMs: number }[];
  /** One more comes, in this time: the replacement, or nobody. */
  readonly newcomerInMs: number | null;
}

/**
 * Surplus that drains, members that are replaced (ADR 0009), and clones of their identities. They change the pool, so a run with them is another run;
 * they draw from a seed of their own, so that a run without them stays what it was.
 *
 * Checked: nobody who beats loses its place to a clone · after a surplus was drained, no more slots than the maximum stay · I1 with one more slot for each replaced
 * member (simulated-store.ts).
 */
export class Leavings {
  readonly #random: SeededRandom;
  #nextMs = 10_000;
  broken: string | null = null;

  constructor(seed: number) {
    this.#random = createSeededRandom(seed + 8_000_000);
  }

  next(nowMs: number, store: SimulatedStore): Leaving | { readonly clones: number } | null {
    if (nowMs < this.#nextMs) return null;
    this.#nextMs = nowMs + 5_000 + this.#random.below(120_000);
    const deadlineAtMs = nowMs + 30_000;
    if (this.#random.below(3) === 0) return { clones: this.#random.below(1_000) };
    return this.#random.below(2) === 0
      ? this.#surplus(nowMs, store, deadlineAtMs)
      : this.#replace(nowMs, store, deadlineAtMs);
  }

  #surplus(nowMs: number, store: SimulatedStore, deadlineAtMs: number): Leaving {
    const maximum = 1 + this.#random.below(store.truth.gateway.maxInstances);
    const { snapshot, drained } = store.drainSurplus(maximum, deadlineAtMs, nowMs);
    const staying = snapshot.members.filter((row) => row.membership === 'slot' && row.intent.kind !== 'drain').length;
    if (staying > maximum) this.broken ??= `surplus: ${staying} slots stay, at most ${maximum}`;
    return { snapshot, drained: drained.map((instance) => this.#leaving(instance)), newcomerInMs: null };
  }

  #replace(nowMs: number, store: SimulatedStore, deadlineAtMs: number): Leaving | null {
    const slots = store.truth.members.filter((row) => row.membership === 'slot' && row.intent.kind !== 'drain');
    const row = slots[this.#random.below(Math.max(1, slots.length))];
    if (row === undefined) return null;
    const intent = { kind: 'drain', by: 'operator', deadlineAtMs, replace: true } as const;
    const snapshot = store.setIntent(row.instance, intent, nowMs);
    if (snapshot === null) return null;
    return { snapshot, drained: [this.#leaving(row.instance)], newcomerInMs: this.#random.below(5_000) };
  }

  #leaving(instance: InstanceId): Leaving['drained'][number] {
    return { instance, leavesInMs: this.#random.below(30_000) };
  }
}
