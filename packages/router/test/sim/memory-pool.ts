import type { GatewayUid, InstanceId } from '@sallyport/protocol';
import {
  type AdmissionOutcome,
  decideAdmission,
  decideDemotion,
  decideFill,
  decideIntent,
  decideLeave,
  decideReclaim,
  decideSurplus,
  type GatewayRow,
  type Intent,
  isListed,
  type Join,
  type MemberRow,
  type PoolChange,
  type PoolDelta,
  type PoolRows,
  type PoolSnapshot,
} from '../../src/pool/index.ts';
import type { StoreOp } from '../../src/pool/pool-state.ts';
import { appUid } from '../store/samples.ts';

export interface Admitted {
  readonly outcome: AdmissionOutcome;
  readonly delta: PoolDelta;
}

export interface Drained {
  readonly snapshot: PoolSnapshot;
  readonly drained: readonly InstanceId[];
}

/** What the simulation asks of a store; on SQL in `sql-pool.ts`, on plain rows here. */
export interface PoolBackend {
  snapshot(): PoolSnapshot;
  admit(join: Join, nowMs: number): Admitted;
  run(op: StoreOp, nowMs: number): PoolDelta;
  setMaximum(maxInstances: number, nowMs: number): PoolSnapshot;
  /** A lowered maximum whose surplus drains; nobody has streams. */
  drainSurplus(maxInstances: number, deadlineAtMs: number, nowMs: number): Drained;
  setIntent(instance: InstanceId, intent: Intent, nowMs: number): PoolSnapshot;
  close(): void;
}

/** The production decisions over rows in memory: a hundred times faster than SQL, and held equal to it by a test. */
export class MemoryPool implements PoolBackend {
  readonly #rows = new Map<InstanceId, MemberRow>();
  #gateway: GatewayRow;
  #nextSeq = 1;
  #nextEpoch = 2 ** 32 + 1;

  constructor(uid: GatewayUid, maxInstances: number) {
    this.#gateway = {
      uid,
      app: appUid(),
      maxInstances,
      version: 1,
      everConnected: false,
      createdAtMs: 0,
      modifiedAtMs: 0,
    };
  }

  snapshot(): PoolSnapshot {
    return { gateway: this.#gateway, members: this.#members(null) };
  }

  /** What a transaction reads after its lock; the planted fault keeps it and decides later. */
  rowsFor(asking: InstanceId | null): PoolRows {
    const { maxInstances } = this.#gateway;
    return { maxInstances, nextSeq: this.#nextSeq, nextEpoch: this.#nextEpoch, members: this.#members(asking) };
  }

  admit(join: Join, nowMs: number): Admitted {
    return this.admitOver(this.rowsFor(join.instance), join, nowMs);
  }

  admitOver(rows: PoolRows, join: Join, nowMs: number): Admitted {
    const { outcome, change } = decideAdmission(rows, join, nowMs);
    return { outcome, delta: this.#write(change) };
  }

  run(op: StoreOp, nowMs: number): PoolDelta {
    return this.#write(decide(this.rowsFor(null), op, nowMs));
  }

  setMaximum(maxInstances: number, nowMs: number): PoolSnapshot {
    this.#gateway = { ...this.#gateway, maxInstances, version: this.#gateway.version + 1, modifiedAtMs: nowMs };
    return this.snapshot();
  }

  drainSurplus(maxInstances: number, deadlineAtMs: number, nowMs: number): Drained {
    this.#gateway = { ...this.#gateway, maxInstances, modifiedAtMs: nowMs };
    const { change, drained } = decideSurplus(this.rowsFor(null), [], deadlineAtMs, nowMs);
    this.#write(change);
    return { drained, snapshot: this.snapshot() };
  }

  setIntent(instance: InstanceId, intent: Intent, nowMs: number): PoolSnapshot {
    const decided = decideIntent(this.rowsFor(null), instance, intent, nowMs);
    if (!('refused' in decided)) this.#write(decided);
    return this.snapshot();
  }

  close(): void {
    this.#rows.clear();
  }

  #write(change: PoolChange): PoolDelta {
    const follows = this.#gateway.version;
    const everConnected = this.#gateway.everConnected || change.nextSeq !== this.#nextSeq;
    this.#gateway = { ...this.#gateway, everConnected, version: follows + 1 };
    for (const row of change.changed) this.#rows.set(row.instance, row);
    this.#nextSeq = change.nextSeq;
    this.#nextEpoch = change.nextEpoch;
    return { gateway: this.#gateway, follows, changed: change.changed };
  }

  #members(asking: InstanceId | null): readonly MemberRow[] {
    const listed: MemberRow[] = [];
    for (const row of this.#rows.values()) {
      if (isListed(row) || row.instance === asking) listed.push(row);
    }
    return listed.sort((a, b) => a.seq - b.seq);
  }
}

function decide(rows: PoolRows, op: StoreOp, nowMs: number): PoolChange {
  switch (op.method) {
    case 'fill':
      return decideFill(rows, op.waiting, nowMs);
    case 'reclaim':
      return decideReclaim(rows, op.absent, op.waiting, nowMs);
    case 'demote':
      return decideDemotion(rows, op.member, nowMs);
    case 'leave':
      return decideLeave(rows, op.members, op.reason, nowMs);
    default:
      return op satisfies never;
  }
}
