import type { InstanceId } from '@sallyport/protocol';
import type { GoneReason, Intent, MemberRow } from './member.ts';

/** What a deciding transaction read after its lock: counters and the members that matter. */
export interface PoolRows {
  readonly maxInstances: number;
  /** Next admission number or place in line. */
  readonly nextSeq: number;
  /** Next fencing number, the store's incarnation in its high half. */
  readonly nextEpoch: number;
  /** Slots, standbys, displaced ones, and the row of the instance that asks even when gone. */
  readonly members: readonly MemberRow[];
}

/** What it is to write: whole rows, by instance. */
export interface PoolChange {
  readonly changed: readonly MemberRow[];
  readonly nextSeq: number;
  readonly nextEpoch: number;
}

/** May one more be admitted while the holder of this slot is here? */
export function isReplaced(member: { readonly intent: Intent }): boolean {
  return member.intent.kind === 'drain' && member.intent.replace === true;
}

/** Rows under change: the moves of register 1, each counted. Owned by one decision, never shared. */
export class PoolDraft {
  readonly #members = new Map<InstanceId, MemberRow>();
  readonly #changed = new Set<InstanceId>();
  readonly #nowMs: number;
  readonly maxInstances: number;
  #nextSeq: number;
  #nextEpoch: number;

  constructor(rows: PoolRows, nowMs: number) {
    for (const member of rows.members) this.#members.set(member.instance, member);
    this.maxInstances = rows.maxInstances;
    this.#nextSeq = rows.nextSeq;
    this.#nextEpoch = rows.nextEpoch;
    this.#nowMs = nowMs;
  }

  get(instance: InstanceId): MemberRow | undefined {
    return this.#members.get(instance);
  }

  slots(): readonly MemberRow[] {
    return this.#of('slot');
  }

  /** How many slots there may be: the maximum, and one more for each member that is being replaced. */
  room(): number {
    return this.maxInstances + this.slots().filter(isReplaced).length;
  }

  /** Everybody in line, first place first. */
  line(): readonly MemberRow[] {
    return this.#of('standby');
  }

  /** Those in line who may be promoted: a cordon or a drain keeps a place but takes no slot. */
  candidates(): readonly MemberRow[] {
    return this.line().filter((member) => member.intent.kind === 'serve');
  }

  put(row: MemberRow): MemberRow {
    this.#members.set(row.instance, row);
    this.#changed.add(row.instance);
    return row;
  }

  grantSlot(row: MemberRow): MemberRow {
    return this.put({
      ...row,
      membership: 'slot',
      goneReason: null,
      seq: this.#nextSeq++,
      epoch: this.#nextEpoch++,
      sinceAtMs: this.#nowMs,
    });
  }

  queueAtTail(row: MemberRow): MemberRow {
    return this.#queue(row, this.#nextSeq++);
  }

  queueAtHead(row: MemberRow): MemberRow {
    const first = this.line()[0];
    return this.#queue(row, first === undefined ? this.#nextSeq++ : first.seq - 1);
  }

  remove(row: MemberRow, goneReason: GoneReason): MemberRow {
    return this.put({ ...row, membership: 'gone', goneReason, sinceAtMs: this.#nowMs });
  }

  change(): PoolChange {
    const changed = [...this.#changed].flatMap((id) => this.#members.get(id) ?? []);
    return { changed, nextSeq: this.#nextSeq, nextEpoch: this.#nextEpoch };
  }

  #queue(row: MemberRow, seq: number): MemberRow {
    return this.put({ ...row, membership: 'standby', goneReason: null, seq, sinceAtMs: this.#nowMs });
  }

  #of(membership: 'slot' | 'standby'): readonly MemberRow[] {
    return [...this.#members.values()].filter((m) => m.membership === membership).sort((a, b) => a.seq - b.seq);
  }
}
