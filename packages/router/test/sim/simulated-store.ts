import type { GatewayUid, InstanceId } from '@sallyport/protocol';
import type { Intent, PoolSnapshot } from '../../src/pool/index.ts';
import type { Hello, StoreOp } from '../../src/pool/pool-state.ts';
import { gatewayUid } from '../store/samples.ts';
import type { Fault } from './faults.ts';
import { type Admitted, MemoryPool, type PoolBackend } from './memory-pool.ts';
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
  /** The most slots that the present maximum, or what was there when it was lowered, allows (I1). */
  #mostSlots: number;
  broken: string | null = null;

  constructor(maxInstances: number, fault: Fault, backend: Backend) {
    this.#fault = fault;
    this.#backend =
      backend === 'memory' ? new MemoryPool(this.gateway, maxInstances) : new SqlPool(this.gateway, maxInstances);
    this.truth = this.#backend.snapshot();
    this.#mostSlots = maxInstances;
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
      this.#adopt(admitted.snapshot);
      if (this.#fault !== 'lost-cordon' || known?.intent.kind !== 'cordon') return admitted;
      const snapshot = this.setIntent(join.instance, { kind: 'serve' }, nowMs);
      return { ...admitted, snapshot: snapshot ?? admitted.snapshot };
    };
  }

  run(op: StoreOp, nowMs: number): PoolSnapshot {
    return this.#adopt(this.#backend.run(op, nowMs));
  }

  setMaximum(maxInstances: number, nowMs: number): PoolSnapshot {
    this.#mostSlots = Math.max(maxInstances, this.slots());
    return this.#adopt(this.#backend.setMaximum(maxInstances, nowMs));
  }

  /** Null when the instance is not in the pool, or drains. */
  setIntent(instance: InstanceId, intent: Intent, nowMs: number): PoolSnapshot | null {
    const row = this.truth.members.find((member) => member.instance === instance);
    if (row === undefined || row.membership === 'gone' || row.intent.kind === 'drain') return null;
    return this.#adopt(this.#backend.setIntent(instance, intent, nowMs));
  }

  slots(): number {
    let count = 0;
    for (const row of this.truth.members) if (row.membership === 'slot') count += 1;
    return count;
  }

  close(): void {
    this.#backend.close();
  }

  #adopt(snapshot: PoolSnapshot): PoolSnapshot {
    this.truth = snapshot;
    const slots = this.slots();
    if (slots > this.#mostSlots) this.broken = `I1: ${slots} slots, at most ${this.#mostSlots}`;
    // Once it shrank to a lowered maximum it may not grow again.
    this.#mostSlots = Math.max(snapshot.gateway.maxInstances, Math.min(this.#mostSlots, slots));
    return snapshot;
  }
}
