import {
  applicationUidSchema,
  type GatewayUid,
  gatewayUidSchema,
  hostSchema,
  type InstanceId,
  instanceIdSchema,
  PamError,
} from '@sallyport/protocol';
import { type Selectable, sql } from 'kysely';
import { z } from 'zod';
import {
  decideAdmission,
  decideDemotion,
  decideFill,
  decideIntent,
  decideLeave,
  decideReclaim,
  decideRevocation,
  decideSurplus,
  type GatewayRow,
  intentSchema,
  isListed,
  type MemberRow,
  type PoolChange,
  type PoolDelta,
  type PoolRows,
  type PoolSnapshot,
  type PoolStore,
} from '../../pool/index.ts';
import { type Act, type ActsOf, all, first, type Queries, run } from '../act.ts';
import { incarnationUnit, readIncarnation } from '../migrations.ts';
import type { Database } from '../schema.ts';
import { keepMembers, takeMembers } from './kept-members.ts';

// The transactions that change a pool and its members: one file, because each that decides begins with the same lock.

/** Rows of instances that left are kept for the session list, this long. */
const goneKeptMs = 30 * 86_400_000;

type GatewayTuple = Selectable<Database['gateway']>;
type InstanceTuple = Selectable<Database['instance']>;

const memberSchema = z.object({
  gateway: gatewayUidSchema,
  id: instanceIdSchema,
  membership: z.enum(['slot', 'standby', 'gone']),
  gone_reason: z
    .enum(['stopped', 'drained', 'refused', 'link-closed', 'displaced', 'lost', 'identity', 'revoked'])
    .nullable(),
  seq: z.int(),
  epoch: z.int().min(0),
  hellos: z.int().min(1),
  version: z.string(),
  address: z.string(),
  connected_ms: z.int(),
  since_ms: z.int(),
});

/** Texts of one column kept parsed: a full pool's, and then some. */
const textsKept = 4_096;

/** Reads a column of JSON. Each admission reads its whole pool, nearly all of it as it was: a text is parsed once. */
function columnReader<T>(schema: z.ZodType<T>): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    const before = known.get(text);
    if (before !== undefined) return before;
    const value = schema.parse(JSON.parse(text));
    if (known.size >= textsKept) known.clear();
    known.set(text, value);
    return value;
  };
}

const readIntent = columnReader(intentSchema);
const readHost = columnReader(hostSchema);

function toMember(tuple: InstanceTuple): MemberRow {
  const row = memberSchema.parse(tuple);
  return {
    gateway: row.gateway,
    instance: row.id,
    membership: row.membership,
    goneReason: row.gone_reason,
    seq: row.seq,
    epoch: row.epoch,
    hellos: row.hellos,
    intent: readIntent(tuple.intent),
    host: readHost(tuple.host),
    version: row.version,
    address: row.address,
    connectedAtMs: row.connected_ms,
    sinceAtMs: row.since_ms,
  };
}

function toGateway(row: GatewayTuple): GatewayRow {
  return {
    uid: gatewayUidSchema.parse(row.uid),
    app: applicationUidSchema.parse(row.app),
    maxInstances: row.max_instances,
    version: row.version,
    everConnected: row.ever_connected === 1,
    createdAtMs: row.created_ms,
    modifiedAtMs: row.modified_ms,
  };
}

/** First statement of every deciding transaction: locks the row and bumps its version (F6). */
function* lockGateway(q: Queries, uid: GatewayUid): Act<GatewayTuple | undefined> {
  if (!q.locks) return yield* first(q.db.selectFrom('gateway').selectAll().where('uid', '=', uid));
  return yield* first(
    q.db
      .updateTable('gateway')
      .set((of) => ({ version: of('version', '+', 1) }))
      .where('uid', '=', uid)
      .where('removed_ms', 'is', null)
      .returningAll(),
  );
}

/** A later statement, so that under READ COMMITTED it sees everything committed before the lock was had. */
function* readMembers(q: Queries, gateway: GatewayUid): Act<readonly MemberRow[]> {
  const tuples = yield* all(
    q.db
      .selectFrom('instance')
      .selectAll()
      .where('gateway', '=', gateway)
      // Literal, so that both engines see that the partial index fits.
      .where((of) => of.or([of('gone_reason', 'is', null), of('gone_reason', '=', sql.lit('displaced'))]))
      .orderBy('seq'),
  );
  return tuples.map(toMember);
}

/** The same behind `lockGateway`, as the transaction before this one left them where that is known. */
function* lockedMembers(q: Queries, { uid, version }: Pick<GatewayRow, 'uid' | 'version'>): Act<readonly MemberRow[]> {
  return takeMembers(q, uid, version) ?? (yield* readMembers(q, uid));
}

/** The row of an instance that is not listed, as a loss or an end left it. */
function* readGone(q: Queries, gateway: GatewayUid, instance: InstanceId): Act<MemberRow[]> {
  const tuple = yield* first(
    q.db.selectFrom('instance').selectAll().where('gateway', '=', gateway).where('id', '=', instance),
  );
  return tuple === undefined ? [] : [toMember(tuple)];
}

/** Writes it; `before` are the members it was decided over. */
function* writeChange(q: Queries, gateway: GatewayTuple, before: readonly MemberRow[], change: PoolChange): Act<void> {
  // Those who leave first, so that no moment inside the transaction breaks the unique indexes.
  const ordered = change.changed.toSorted((a, b) => Number(a.membership === 'slot') - Number(b.membership === 'slot'));
  for (const row of ordered) {
    const values = {
      gateway: row.gateway,
      id: row.instance,
      membership: row.membership,
      gone_reason: row.goneReason,
      seq: row.seq,
      epoch: row.epoch,
      hellos: row.hellos,
      intent: JSON.stringify(row.intent),
      host: JSON.stringify(row.host),
      version: row.version,
      address: row.address,
      connected_ms: row.connectedAtMs,
      since_ms: row.sinceAtMs,
    };
    yield* run(
      q.db
        .insertInto('instance')
        .values(values)
        .onConflict((on) => on.columns(['gateway', 'id']).doUpdateSet(values)),
    );
  }
  const { uid, version } = toGateway(gateway);
  keepMembers(q, uid, version, membersAfter(before, change));
  if (change.nextSeq === gateway.next_seq && change.nextEpoch === gateway.next_epoch) return;
  yield* run(
    q.db
      .updateTable('gateway')
      .set({ next_seq: change.nextSeq, next_epoch: change.nextEpoch, ever_connected: 1 })
      .where('uid', '=', gateway.uid),
  );
}

function rowsOf(gateway: GatewayTuple, members: readonly MemberRow[]): PoolRows {
  return {
    maxInstances: gateway.max_instances,
    nextSeq: gateway.next_seq,
    nextEpoch: gateway.next_epoch,
    members,
  };
}

function changedGateway(gateway: GatewayTuple, change: PoolChange): GatewayRow {
  const moved = change.nextSeq !== gateway.next_seq;
  return { ...toGateway(gateway), everConnected: gateway.ever_connected === 1 || moved };
}

function membersAfter(before: readonly MemberRow[], change: PoolChange): readonly MemberRow[] {
  const members = new Map(before.map((row) => [row.instance, row]));
  for (const row of change.changed) members.set(row.instance, row);
  return [...members.values()].filter(isListed).sort((a, b) => a.seq - b.seq);
}

/** The pool as it is after a change, without reading it again. */
function snapshotOf(gateway: GatewayTuple, before: readonly MemberRow[], change: PoolChange): PoolSnapshot {
  return { gateway: changedGateway(gateway, change), members: membersAfter(before, change) };
}

/** The lock raised the version by one, so that there is none between. */
function deltaOf(gateway: GatewayTuple, change: PoolChange): PoolDelta {
  return { gateway: changedGateway(gateway, change), follows: gateway.version - 1, changed: change.changed };
}

interface Decided {
  readonly gateway: GatewayTuple;
  readonly before: readonly MemberRow[];
  readonly change: PoolChange;
}

/** Lock, then count, then decide, then write. */
function* decidePool(q: Queries, uid: GatewayUid, decide: (rows: PoolRows) => PoolChange): Act<Decided | null> {
  const gateway = yield* lockGateway(q, uid);
  if (gateway === undefined) return null;
  const before = yield* lockedMembers(q, toGateway(gateway));
  const change = decide(rowsOf(gateway, before));
  yield* writeChange(q, gateway, before, change);
  return { gateway, before, change };
}

/** One move of the pool's own maintenance. */
function* movePool(q: Queries, uid: GatewayUid, decide: (rows: PoolRows) => PoolChange): Act<PoolDelta | null> {
  const decided = yield* decidePool(q, uid, decide);
  return decided === null ? null : deltaOf(decided.gateway, decided.change);
}

function* readSnapshot(q: Queries, gateway: GatewayTuple): Act<PoolSnapshot> {
  const row = toGateway(gateway);
  return { gateway: row, members: yield* readMembers(q, row.uid) };
}

export const poolActs: ActsOf<PoolStore> = {
  *createGateway(q, input) {
    const incarnation = yield* readIncarnation(q);
    yield* run(
      q.db.insertInto('gateway').values({
        uid: input.uid,
        app: input.app,
        max_instances: input.maxInstances,
        version: 1,
        next_seq: 1,
        next_epoch: incarnation * incarnationUnit + 1,
        ever_connected: 0,
        created_ms: input.nowMs,
        modified_ms: input.nowMs,
        removed_ms: null,
      }),
    );
    if (input.token === null) return;
    yield* run(
      q.db.insertInto('token').values({
        lookup: input.token.lookup,
        gateway: input.uid,
        blob: input.token.blob,
        expires_ms: input.token.expiresAtMs,
        redeemer: null,
        acknowledged_ms: null,
      }),
    );
  },

  *removeGateway(q, input) {
    const gateway = yield* lockGateway(q, input.uid);
    if (gateway === undefined) throw new PamError('PAM_NOT_FOUND', `there is no gateway ${input.uid}`);
    const members = yield* lockedMembers(q, toGateway(gateway));
    yield* writeChange(q, gateway, members, decideRevocation(rowsOf(gateway, members), input.nowMs));
    yield* run(q.db.deleteFrom('token').where('gateway', '=', input.uid));
    yield* run(q.db.updateTable('gateway').set({ removed_ms: input.nowMs }).where('uid', '=', input.uid));
    return members.map((member) => member.instance);
  },

  *rekeyGateway(q, input) {
    const gateway = yield* lockGateway(q, input.uid);
    if (gateway === undefined) throw new PamError('PAM_NOT_FOUND', `there is no gateway ${input.uid}`);
    const members = yield* lockedMembers(q, toGateway(gateway));
    const change = decideRevocation(rowsOf(gateway, members), input.nowMs);
    yield* writeChange(q, gateway, members, change);
    yield* run(q.db.deleteFrom('token').where('gateway', '=', input.uid));
    yield* run(q.db.updateTable('gateway').set({ modified_ms: input.nowMs }).where('uid', '=', input.uid));
    const snapshot = snapshotOf({ ...gateway, modified_ms: input.nowMs }, members, change);
    return { gone: members.map((member) => member.instance), snapshot };
  },

  *readPools(q) {
    const gateways = yield* all(q.db.selectFrom('gateway').selectAll().where('removed_ms', 'is', null).orderBy('uid'));
    const pools: PoolSnapshot[] = [];
    for (const gateway of gateways) pools.push(yield* readSnapshot(q, gateway));
    return pools;
  },

  *readPool(q, input) {
    const gateway = yield* first(
      q.db.selectFrom('gateway').selectAll().where('uid', '=', input.gateway).where('removed_ms', 'is', null),
    );
    return gateway === undefined ? null : yield* readSnapshot(q, gateway);
  },

  *admit(q, input) {
    const gateway = yield* lockGateway(q, input.gateway);
    if (gateway === undefined) return null;
    const listed = yield* lockedMembers(q, toGateway(gateway));
    const isKnown = listed.some((member) => member.instance === input.instance);
    const members = isKnown ? listed : [...listed, ...(yield* readGone(q, input.gateway, input.instance))];
    const { outcome, change } = decideAdmission(rowsOf(gateway, members), input, input.nowMs);
    yield* writeChange(q, gateway, members, change);
    yield* run(
      q.db
        .deleteFrom('instance')
        .where('gateway', '=', input.gateway)
        .where('membership', '=', sql.lit('gone'))
        // Those are listed: whoever knows the pool hears of their end by `leave`.
        .where('gone_reason', '!=', sql.lit('displaced'))
        .where('since_ms', '<', input.nowMs - goneKeptMs),
    );
    return { outcome, delta: deltaOf(gateway, change) };
  },

  *fill(q, input) {
    return yield* movePool(q, input.gateway, (rows) => decideFill(rows, input.waiting, input.nowMs));
  },

  *reclaim(q, input) {
    return yield* movePool(q, input.gateway, (rows) => decideReclaim(rows, input.absent, input.waiting, input.nowMs));
  },

  *demote(q, input) {
    return yield* movePool(q, input.gateway, (rows) => decideDemotion(rows, input.member, input.nowMs));
  },

  *leave(q, input) {
    return yield* movePool(q, input.gateway, (rows) => decideLeave(rows, input.members, input.reason, input.nowMs));
  },

  *setMaximum(q, input) {
    const gateway = yield* lockGateway(q, input.gateway);
    if (gateway === undefined) return null;
    const members = yield* lockedMembers(q, toGateway(gateway));
    const changed = { max_instances: input.maxInstances, modified_ms: input.nowMs };
    yield* run(q.db.updateTable('gateway').set(changed).where('uid', '=', input.gateway));
    const resized = { ...gateway, ...changed };
    const answer = {
      before: gateway.max_instances,
      admitted: members.filter((member) => member.membership === 'slot').length,
    };
    if (input.surplus === undefined)
      return { ...answer, drained: [], snapshot: { gateway: toGateway(resized), members } };
    const { counts, deadlineAtMs } = input.surplus;
    const { change, drained } = decideSurplus(rowsOf(resized, members), counts, deadlineAtMs, input.nowMs);
    yield* writeChange(q, resized, members, change);
    return { ...answer, drained, snapshot: snapshotOf(resized, members, change) };
  },

  *setIntent(q, input) {
    const moved = yield* decidePool(q, input.gateway, (rows) => {
      const decided = decideIntent(rows, input.instance, input.intent, input.nowMs);
      if (!('refused' in decided)) return decided;
      if (decided.refused === 'absent') {
        throw new PamError('PAM_NOT_FOUND', `instance ${input.instance} is not in this pool`);
      }
      throw new PamError('PAM_CONFLICT', `instance ${input.instance} is draining; that cannot be taken back`);
    });
    return moved === null ? null : snapshotOf(moved.gateway, moved.before, moved.change);
  },

  *redeemToken(q, input) {
    const token = yield* first(q.db.selectFrom('token').selectAll().where('lookup', '=', input.lookup));
    if (token === undefined) return { kind: 'unknown' };
    if (token.redeemer !== null && token.redeemer !== input.redeemer) return { kind: 'used' };
    if (token.blob === null) return { kind: 'used' };
    if (token.expires_ms <= input.nowMs) return { kind: 'expired' };
    const taken = yield* run(
      q.db
        .updateTable('token')
        .set({ redeemer: input.redeemer })
        .where('lookup', '=', input.lookup)
        .where('blob', 'is not', null)
        .where((of) => of.or([of('redeemer', 'is', null), of('redeemer', '=', input.redeemer)])),
    );
    if (taken === 0) return { kind: 'used' };
    return { kind: 'blob', gateway: gatewayUidSchema.parse(token.gateway), blob: token.blob };
  },

  *acknowledgeToken(q, input) {
    const token = yield* first(q.db.selectFrom('token').select('redeemer').where('lookup', '=', input.lookup));
    if (token === undefined) throw new PamError('PAM_TOKEN_UNKNOWN', 'this router does not know the token');
    if (token.redeemer !== input.redeemer)
      throw new PamError('PAM_TOKEN_USED', 'the token was redeemed by another key');
    yield* run(
      q.db
        .updateTable('token')
        .set({ blob: null, acknowledged_ms: input.nowMs })
        .where('lookup', '=', input.lookup)
        .where('redeemer', '=', input.redeemer),
    );
  },
};
