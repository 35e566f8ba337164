import { PamError } from '@sallyport/protocol';
import { CompiledQuery } from 'kysely';
import { type Act, all, type EngineName, first, type Queries, run } from './act.ts';

/** A step of the schema, forward only. Statements are in the words both engines know, `STRICT` and types aside. */
export interface Migration {
  readonly name: string;
  readonly statements: readonly string[];
}

const initial: Migration = {
  name: '0001_initial',
  statements: [
    'CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL)',
    'CREATE TABLE idempotency (key TEXT PRIMARY KEY, result TEXT NOT NULL, at_ms INTEGER NOT NULL)',
    'CREATE TABLE log_entry (n INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, entry TEXT NOT NULL, at_ms INTEGER NOT NULL)',
    `CREATE TABLE person (uid TEXT PRIMARY KEY, name TEXT NOT NULL, name_key TEXT NOT NULL UNIQUE,
      credential_id TEXT NOT NULL, registration_record TEXT NOT NULL, ksf INTEGER NOT NULL, blob TEXT NOT NULL,
      recovery_lookup TEXT NOT NULL UNIQUE, recovery_blob TEXT NOT NULL)`,
    `CREATE TABLE sign_in (token_hash TEXT PRIMARY KEY, person TEXT NOT NULL REFERENCES person (uid),
      device TEXT NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL)`,
    'CREATE INDEX sign_in_expires ON sign_in (expires_ms)',
    'CREATE TABLE opaque_attempt (id TEXT PRIMARY KEY, person TEXT, server_state TEXT NOT NULL, expires_ms INTEGER NOT NULL)',
    `CREATE TABLE item (uid TEXT PRIMARY KEY, app TEXT NOT NULL, type TEXT NOT NULL, mirror TEXT NOT NULL,
      created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL, removed_ms INTEGER)`,
    'CREATE INDEX item_app ON item (app, uid) WHERE removed_ms IS NULL',
    `CREATE TABLE item_part (uid TEXT NOT NULL REFERENCES item (uid), part TEXT NOT NULL, rev INTEGER NOT NULL,
      gen INTEGER NOT NULL, envelope TEXT NOT NULL, author TEXT NOT NULL, at_ms INTEGER NOT NULL,
      newest INTEGER NOT NULL, PRIMARY KEY (uid, part, rev))`,
    'CREATE UNIQUE INDEX item_part_newest ON item_part (uid, part) WHERE newest = 1',
    `CREATE TABLE item_link (item TEXT NOT NULL REFERENCES item (uid), target TEXT NOT NULL,
      PRIMARY KEY (item, target))`,
    'CREATE INDEX item_link_target ON item_link (target)',
    `CREATE TABLE key_wrap (app TEXT NOT NULL, part TEXT NOT NULL, gen INTEGER NOT NULL, recipient TEXT NOT NULL,
      wrap TEXT NOT NULL, PRIMARY KEY (app, part, gen, recipient))`,
    'CREATE INDEX key_wrap_recipient ON key_wrap (recipient)',
    `CREATE TABLE gateway (uid TEXT PRIMARY KEY, app TEXT NOT NULL,
      max_instances INTEGER NOT NULL CHECK (max_instances >= 1), version INTEGER NOT NULL, next_seq INTEGER NOT NULL,
      next_epoch INTEGER NOT NULL, ever_connected INTEGER NOT NULL, created_ms INTEGER NOT NULL,
      modified_ms INTEGER NOT NULL, removed_ms INTEGER)`,
    `CREATE TABLE instance (gateway TEXT NOT NULL REFERENCES gateway (uid), id TEXT NOT NULL,
      membership TEXT NOT NULL CHECK (membership IN ('slot', 'standby', 'gone')), gone_reason TEXT,
      seq INTEGER NOT NULL, epoch INTEGER NOT NULL, hellos INTEGER NOT NULL, intent TEXT NOT NULL, host TEXT NOT NULL, version TEXT NOT NULL,
      address TEXT NOT NULL, connected_ms INTEGER NOT NULL, since_ms INTEGER NOT NULL, PRIMARY KEY (gateway, id))`,
    "CREATE UNIQUE INDEX instance_seq ON instance (gateway, seq) WHERE membership = 'slot'",
    "CREATE UNIQUE INDEX instance_epoch ON instance (gateway, epoch) WHERE membership = 'slot'",
    "CREATE INDEX instance_listed ON instance (gateway, seq) WHERE gone_reason IS NULL OR gone_reason = 'displaced'",
    "CREATE INDEX instance_gone ON instance (gateway, since_ms) WHERE membership = 'gone'",
    `CREATE TABLE token (lookup TEXT PRIMARY KEY, gateway TEXT NOT NULL REFERENCES gateway (uid), blob TEXT,
      expires_ms INTEGER NOT NULL, redeemer TEXT, acknowledged_ms INTEGER)`,
    `CREATE TABLE session (id TEXT PRIMARY KEY, person TEXT NOT NULL, device TEXT NOT NULL, gateway TEXT NOT NULL,
      resource TEXT NOT NULL, workload TEXT NOT NULL, started_ms INTEGER NOT NULL, touched_ms INTEGER NOT NULL,
      ended_ms INTEGER, reason TEXT)`,
    'CREATE INDEX session_started ON session (started_ms)',
    'CREATE INDEX session_live ON session (touched_ms) WHERE ended_ms IS NULL',
    `CREATE TABLE stream (id TEXT PRIMARY KEY, session TEXT NOT NULL REFERENCES session (id), instance TEXT,
      state TEXT NOT NULL CHECK (state IN ('routing', 'open', 'ended')), started_ms INTEGER NOT NULL,
      routed_ms INTEGER NOT NULL, ended_ms INTEGER, reason TEXT, bytes_up INTEGER NOT NULL,
      bytes_down INTEGER NOT NULL, decisions INTEGER NOT NULL)`,
    'CREATE INDEX stream_session ON stream (session, started_ms)',
    "CREATE INDEX stream_instance ON stream (instance) WHERE state <> 'ended'",
    `CREATE TABLE stream_decision (stream TEXT NOT NULL REFERENCES stream (id), n INTEGER NOT NULL,
      decision TEXT NOT NULL, PRIMARY KEY (stream, n))`,
    `CREATE TABLE audit_chain (router TEXT NOT NULL, start INTEGER NOT NULL, seq INTEGER NOT NULL, hash TEXT NOT NULL,
      at_ms INTEGER NOT NULL, PRIMARY KEY (router, start))`,
    `CREATE TABLE audit_event (router TEXT NOT NULL, start INTEGER NOT NULL, seq INTEGER NOT NULL, prev TEXT NOT NULL,
      hash TEXT NOT NULL, at_ms INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, actor_event TEXT,
      PRIMARY KEY (start, seq, router))`,
    'CREATE TABLE actor_chain (actor TEXT PRIMARY KEY, seq INTEGER NOT NULL, hash TEXT NOT NULL)',
  ],
};

/** Who killed a session or a stream, and why. */
const killed: Migration = {
  name: '0002_killed',
  statements: [
    "ALTER TABLE session ADD COLUMN words TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE stream ADD COLUMN words TEXT NOT NULL DEFAULT ''",
  ],
};

const detachedStreams: Migration = {
  name: '0003_detached_streams',
  statements: [
    'ALTER TABLE stream ADD COLUMN detached_ms INTEGER',
    'ALTER TABLE stream ADD COLUMN detached_until_ms INTEGER',
  ],
};

/**
 * Work leases, accounts, and the jobs that change them. No row holds the time a lease ends (architecture, section 4); an
 * account is a keyed hash, a version an envelope.
 */
const rotation: Migration = {
  name: '0004_rotation',
  statements: [
    `CREATE TABLE work_lease (instance TEXT PRIMARY KEY, gateway TEXT NOT NULL, lease INTEGER NOT NULL,
      renewals INTEGER NOT NULL, state TEXT NOT NULL CHECK (state IN ('held', 'given', 'released')))`,
    `CREATE TABLE account (account TEXT PRIMARY KEY, record TEXT NOT NULL, server TEXT NOT NULL, epoch INTEGER NOT NULL,
      send INTEGER NOT NULL, current INTEGER, job TEXT, next_version INTEGER NOT NULL, attention TEXT,
      changed_ms INTEGER NOT NULL)`,
    'CREATE INDEX account_record ON account (record, changed_ms)',
    'CREATE INDEX account_attention ON account (record) WHERE attention IS NOT NULL',
    `CREATE TABLE account_version (account TEXT NOT NULL REFERENCES account (account), n INTEGER NOT NULL, job TEXT,
      rev INTEGER NOT NULL, gen INTEGER NOT NULL, envelope TEXT NOT NULL, state TEXT NOT NULL, at_ms INTEGER NOT NULL,
      PRIMARY KEY (account, n))`,
    `CREATE TABLE account_login (account TEXT NOT NULL, id TEXT NOT NULL, at_ms INTEGER NOT NULL, state TEXT NOT NULL,
      PRIMARY KEY (account, id))`,
    'CREATE TABLE job_server (server TEXT PRIMARY KEY, claims INTEGER NOT NULL)',
    `CREATE TABLE job (id TEXT PRIMARY KEY, kind TEXT NOT NULL, record TEXT NOT NULL, app TEXT NOT NULL,
      gateway TEXT NOT NULL, account TEXT, server TEXT, state TEXT NOT NULL, step TEXT NOT NULL, why TEXT NOT NULL,
      signed_order TEXT, person TEXT, due_ms INTEGER, instance TEXT, lease INTEGER, epoch INTEGER,
      attempts INTEGER NOT NULL, base INTEGER, candidate INTEGER, rejections INTEGER NOT NULL, sends TEXT NOT NULL,
      address TEXT, not_before_ms INTEGER NOT NULL, cancel_asked INTEGER NOT NULL, instances TEXT NOT NULL,
      entries INTEGER NOT NULL, created_ms INTEGER NOT NULL, started_ms INTEGER, ended_ms INTEGER)`,
    "CREATE UNIQUE INDEX job_open ON job (record) WHERE state IN ('queued', 'running', 'waiting')",
    'CREATE UNIQUE INDEX job_occurrence ON job (record, due_ms) WHERE due_ms IS NOT NULL',
    "CREATE INDEX job_offered ON job (gateway, not_before_ms) WHERE state IN ('queued', 'waiting')",
    "CREATE INDEX job_held ON job (instance) WHERE state = 'running'",
    "CREATE INDEX job_at_server ON job (server) WHERE state IN ('running', 'waiting')",
    'CREATE INDEX job_listed ON job (created_ms, id)',
    'CREATE INDEX job_of_record ON job (record, created_ms)',
    `CREATE TABLE job_entry (job TEXT NOT NULL REFERENCES job (id), n INTEGER NOT NULL, at_ms INTEGER NOT NULL,
      instance TEXT, step TEXT NOT NULL, what TEXT NOT NULL, PRIMARY KEY (job, n))`,
    `CREATE TABLE job_note (job TEXT NOT NULL REFERENCES job (id), n INTEGER NOT NULL, gen INTEGER NOT NULL,
      envelope TEXT NOT NULL, PRIMARY KEY (job, n))`,
    `CREATE TABLE job_answer (job TEXT NOT NULL, epoch INTEGER NOT NULL, key TEXT NOT NULL, answer TEXT NOT NULL,
      PRIMARY KEY (job, epoch, key))`,
    `CREATE TABLE schedule (record TEXT PRIMARY KEY REFERENCES item (uid), rule TEXT NOT NULL, since_ms INTEGER NOT NULL,
      next_ms INTEGER)`,
    'CREATE INDEX schedule_next ON schedule (next_ms) WHERE next_ms IS NOT NULL',
    `CREATE TABLE recheck (id TEXT PRIMARY KEY, job TEXT NOT NULL, account TEXT NOT NULL, due_ms INTEGER NOT NULL)`,
    'CREATE INDEX recheck_due ON recheck (due_ms)',
  ],
};

/** Instance whose journal a version came back from. */
const recovered: Migration = {
  name: '0005_recovered',
  statements: ['ALTER TABLE account_version ADD COLUMN source TEXT'],
};

/** How scripts and services after a rotation went, in numbers: a failed one must be seen without its sealed note. */
const afterRotation: Migration = {
  name: '0006_after_rotation',
  statements: ['ALTER TABLE job ADD COLUMN after_counts TEXT'],
};

/** What could not be removed from a target yet, how often it was tried, and what a planned job is for (null: a check). */
const leftover: Migration = {
  name: '0007_leftover',
  statements: [
    'ALTER TABLE account ADD COLUMN leftover INTEGER',
    'ALTER TABLE account ADD COLUMN retire_tries INTEGER',
    'ALTER TABLE recheck ADD COLUMN kind TEXT',
    'CREATE INDEX account_leftover ON account (record) WHERE leftover IS NOT NULL',
  ],
};

/** What was begun of scripts and services: no script is begun twice by one job. */
const followUps: Migration = {
  name: '0008_follow_ups',
  statements: ["ALTER TABLE job ADD COLUMN follow_ups TEXT NOT NULL DEFAULT '[]'"],
};

/** What is wrong with a record's rotation since its last run: told until it is cured, whatever else runs meanwhile. */
const troubles: Migration = {
  name: '0009_rotation_trouble',
  statements: [
    `CREATE TABLE rotation_trouble (record TEXT PRIMARY KEY REFERENCES item (uid), gateway TEXT, what TEXT NOT NULL,
      at_ms INTEGER NOT NULL)`,
  ],
};

/** When a stream was first seen open; what ended before may be tried elsewhere. */
const streamOpened: Migration = {
  name: '0010_stream_opened',
  statements: [
    'ALTER TABLE stream ADD COLUMN opened_ms INTEGER',
    "UPDATE stream SET opened_ms = started_ms WHERE state = 'open' OR (state = 'ended' AND reason NOT IN ('target-refused', 'failed'))",
  ],
};

/**
 * Who runs or waits at a server is found without a look at what ended; offers are in order in their index. Entries are
 * counted where they are.
 */
const jobIndices: Migration = {
  name: '0011_job_indices',
  statements: [
    'DROP INDEX job_at_server',
    "CREATE INDEX job_running_at ON job (server) WHERE state = 'running'",
    "CREATE INDEX job_waiting_at ON job (server, why, created_ms, id) WHERE state = 'waiting'",
    'DROP INDEX job_offered',
    "CREATE INDEX job_offered ON job (gateway, not_before_ms, id) WHERE state IN ('queued', 'waiting')",
    'ALTER TABLE job DROP COLUMN entries',
  ],
};

const migrations: readonly Migration[] = [
  ...[initial, killed, detachedStreams, rotation, recovered, afterRotation],
  ...[leftover, followUps, troubles, streamOpened, jobIndices],
];

/** One statement of a migration in the words of an engine: STRICT tables here, 64-bit integers there. */
function dialectOf(engine: EngineName, statement: string): string {
  if (engine === 'postgres') return statement.replaceAll(' INTEGER', ' BIGINT');
  return statement.startsWith('CREATE TABLE') ? `${statement} STRICT` : statement;
}

/**
 * Brings the schema up to `steps`, in the transaction it runs in: all or nothing, on both engines.
 *
 * @throws PAM_STORE_SCHEMA_NEWER when the store knows a migration that this program does not.
 */
export function* migrate(q: Queries, nowMs: number, steps: readonly Migration[] = migrations): Act<void> {
  if (q.engine === 'postgres') yield CompiledQuery.raw('SELECT pg_advisory_xact_lock(7443)');
  const table =
    'CREATE TABLE IF NOT EXISTS migration (n INTEGER PRIMARY KEY, name TEXT NOT NULL, at_ms INTEGER NOT NULL)';
  yield CompiledQuery.raw(dialectOf(q.engine, table));
  const done = yield* all(q.db.selectFrom('migration').selectAll().orderBy('n'));
  const newest = done.at(-1);
  const unknown = done.find((row) => steps[row.n - 1]?.name !== row.name);
  if (newest !== undefined && unknown !== undefined) {
    throw new PamError(
      'PAM_STORE_SCHEMA_NEWER',
      `the store is at schema ${newest.name}, this program knows ${steps.at(-1)?.name}`,
      {
        detail: { store: newest.name, program: steps.at(-1)?.name ?? '' },
      },
    );
  }
  for (const [i, step] of steps.entries()) {
    if (i < done.length) continue;
    for (const statement of step.statements) yield CompiledQuery.raw(dialectOf(q.engine, statement));
    yield* run(q.db.insertInto('migration').values({ n: i + 1, name: step.name, at_ms: nowMs }));
  }
  yield* run(
    q.db
      .insertInto('setting')
      .values({ key: 'incarnation', value: '1' })
      .onConflict((on) => on.doNothing()),
  );
}

/** Low bits of an epoch; above them the incarnation, so that epochs of a restored store are always greater. */
export const incarnationUnit = 2 ** 32;

/** How often this store was restored, plus 1; at most 2^20. */
export function* readIncarnation(q: Queries): Act<number> {
  const row = yield* first(q.db.selectFrom('setting').select('value').where('key', '=', 'incarnation'));
  return Number(row?.value ?? '1');
}

/**
 * A restored store does not know what was rotated after the backup: no lease holds, no job goes on, and no account that
 * was ever rotated is rotated again before somebody or a check has seen which of its versions opens it.
 */
function* distrustRotations(q: Queries, low: number): Act<void> {
  yield* run(q.db.updateTable('work_lease').set({ lease: low, state: 'given' }).where('lease', '<', low));
  yield* run(
    q.db
      .updateTable('account')
      .set((of) => ({ epoch: low, job: null, attention: of.fn.coalesce('attention', of.val('restored')) }))
      .where('epoch', '<', low),
  );
  // R5: writes that the store does not know of have numbers too, and the target may not show them.
  const send = low - incarnationUnit;
  yield* run(q.db.updateTable('account').set({ send }).where('send', '<', send));
  yield* run(
    q.db
      .updateTable('job')
      .set({ state: 'attention', why: 'restored', instance: null, lease: null })
      .where('state', 'in', ['queued', 'running', 'waiting'])
      .where('account', 'is not', null),
  );
}

/** After a restore: every epoch given from now on is above every one given before (section 10). */
export function* bumpIncarnation(q: Queries): Act<number> {
  const incarnation = (yield* readIncarnation(q)) + 1;
  yield* run(
    q.db
      .updateTable('setting')
      .set({ value: String(incarnation) })
      .where('key', '=', 'incarnation'),
  );
  const low = incarnation * incarnationUnit;
  yield* run(q.db.updateTable('gateway').set({ next_epoch: low }).where('next_epoch', '<', low));
  yield* distrustRotations(q, low);
  return incarnation;
}
