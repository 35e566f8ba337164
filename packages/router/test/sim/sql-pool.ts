import type { GatewayUid, InstanceId } from '@sallyport/protocol';
import type { Intent, Join, PoolDelta, PoolSnapshot } from '../../src/pool/index.ts';
import type { StoreOp } from '../../src/pool/pool-state.ts';
import { SqliteEngine } from '../../src/store/sqlite-engine.ts';
import { appUid } from '../store/samples.ts';
import type { Admitted, Drained, PoolBackend } from './memory-pool.ts';

/** The production transactions on SQLite in memory, in the thread of the simulation. */
export class SqlPool implements PoolBackend {
  readonly #engine = new SqliteEngine(':memory:');
  readonly #gateway: GatewayUid;

  constructor(gateway: GatewayUid, maxInstances: number) {
    this.#gateway = gateway;
    this.#engine.migrate(0);
    this.#run('createGateway', { uid: gateway, app: appUid(), maxInstances, token: null, nowMs: 0 });
  }

  snapshot(): PoolSnapshot {
    return this.#run('readPool', { gateway: this.#gateway }) as PoolSnapshot;
  }

  admit(join: Join, nowMs: number): Admitted {
    return this.#run('admit', { ...join, nowMs }) as Admitted;
  }

  run(op: StoreOp, nowMs: number): PoolDelta {
    const { method, ...input } = op;
    return this.#run(method, { gateway: this.#gateway, ...input, nowMs }) as PoolDelta;
  }

  setMaximum(maxInstances: number, nowMs: number): PoolSnapshot {
    const answer = this.#run('setMaximum', { gateway: this.#gateway, maxInstances, nowMs });
    return (answer as { snapshot: PoolSnapshot }).snapshot;
  }

  drainSurplus(maxInstances: number, deadlineAtMs: number, nowMs: number): Drained {
    const surplus = { counts: [], deadlineAtMs };
    return this.#run('setMaximum', { gateway: this.#gateway, maxInstances, surplus, nowMs }) as Drained;
  }

  setIntent(instance: InstanceId, intent: Intent, nowMs: number): PoolSnapshot {
    return this.#run('setIntent', { gateway: this.#gateway, instance, intent, nowMs }) as PoolSnapshot;
  }

  close(): void {
    this.#engine.close();
  }

  #run(method: string, input: unknown): unknown {
    return this.#engine.runCalls([{ concept: 'pool', method, input }])[0];
  }
}
