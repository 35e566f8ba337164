import type { GatewayUid, InstanceId } from '@sallyport/protocol';
import type { Intent, PoolDelta, PoolSnapshot } from '../../src/pool/index.ts';
import { isReplaced } from '../../src/pool/pool-rows.ts';
import type { Hello, StoreOp } from '../../src/pool/pool-state.ts';
import { gatewayUid } from '../store/samples.ts';
import type { Fault } from './faults.ts';
import { type Admitted, type Drained, MemoryPool, type PoolBackend } from './memory-pool.ts';
import { SqlPool } from './sql-pool.ts';

export type Backend = 'memory' | 'sql';

/**
 * The store of a simulation. `truth` is the pool as the store has it now. An admission has two halves, so that the
 * planted fault can read in the first and write in the second.
 */
export class SimulatedStore {
  readonly gateway: GatewayUid = gatewayUid();
  readonly #fault: Fault;
  readonly #backend: PoolBackend;
  truth: PoolSnapshot;
  /** Slots in it, and may somebody in its line be promoted? Counted once a change: both are asked at each tick. */
  slots = 0;
  hasLine = false;
  /** The maximum, and one more for each slot whose holder is being replaced. */
  room: number;
  /** The most slots that the present maximum, or what was there when it was lowered, allows (I1). */
  #mostSlots: number;
  broken: string | null = null;

  constructor(maxInstances: number, fault: Fault, backend: Backend) {
    this.#fault = fault;
    this.#backend =
      backend === 'memory' ? new MemoryPool(this.gateway, maxInstances) : new SqlPool(this.gateway, maxInstances);
    this.#mostSlots = maxInstances;
    this.room = maxInstances;
    this.truth = this.#adopt(this.#backend.snapshot());
  }

  read(): PoolSnapshot {
    return this.#backend.snapshot();
  }

  /** Asked now; what is returned commits it later. */
  admit(hello: Hello, nowMs: number): () => Admitted {
    const { link: _link, ...join } = hello;
    const backend = this.#backend;
    let commit = (): Admitted => backend.admit(join, nowMs);
    if (this.#fault === 'count-before-lock' && backend instanceof MemoryPool) {
      const counted = backend.rowsFor(join.instance);
      commit = () => backend.admitOver(counted, join, nowMs);
    }
    return () => {
      const known = this.truth.members.find((row) => row.instance === join.instance);
      const admitted = commit();
      this.#adopt(backend.snapshot());
      if (this.#fault !== 'lost-cordon' || known?.intent.kind !== 'cordon') return admitted;
      const served = this.setIntent(join.instance, { kind: 'serve' }, nowMs);
      const changed = served?.members.filter((row) => row.instance === join.instance);
      if (served === null || changed === undefined) return admitted;
      return { ...admitted, delta: { ...admitted.delta, gateway: served.gateway, changed } };
    };
  }

  run(op: StoreOp, nowMs: number): PoolDelta {
    const delta = this.#backend.run(op, nowMs);
    this.#adopt(this.#backend.snapshot());
    return delta;
  }

  setMaximum(maxInstances: number, nowMs: number): PoolSnapshot {
    this.#mostSlots = Math.max(maxInstances, this.slots);
    return this.#adopt(this.#backend.setMaximum(maxInstances, nowMs));
  }

  drainSurplus(maxInstances: number, deadlineAtMs: number, nowMs: number): Drained {
    this.#mostSlots = Math.max(maxInstances, this.slots);
    const answer = this.#backend.drainSurplus(maxInstances, deadlineAtMs, nowMs);
    this.#adopt(answer.snapshot);
    return answer;
  }

  /** Null when the instance is not in the pool, or drains. */
  setIntent(instance: InstanceId, intent: Intent, nowMs: number): PoolSnapshot | null {
    const row = this.truth.members.find((member) => member.instance === instance);
    if (row === undefined || row.membership === 'gone' || row.intent.kind === 'drain') return null;
    return this.#adopt(this.#backend.setIntent(instance, intent, nowMs));
  }

  close(): void {
    this.#backend.close();
  }

  #adopt(snapshot: PoolSnapshot): PoolSnapshot {
    this.truth = snapshot;
    let slots = 0;
    let hasLine = false;
    let { maxInstances: room } = snapshot.gateway;
    for (const row of snapshot.members) {
      if (row.membership === 'slot') {
        slots += 1;
        if (isReplaced(row)) room += 1;
      } else if (row.membership === 'standby' && row.intent.kind === 'serve') hasLine = true;
    }
    this.slots = slots;
    this.hasLine = hasLine;
    this.room = room;
    if (slots > this.#mostSlots) this.broken = `I1: ${slots} slots, at most ${this.#mostSlots}`;
    // Once it shrank to a lowered maximum it may not grow again.
    this.#mostSlots = Math.max(room, Math.min(this.#mostSlots, slots));
    return snapshot;
  }
}
