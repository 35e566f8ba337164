import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import {
  applicationUidSchema,
  deviceIdSchema,
  type KeyWrap,
  keyPartSchema,
  personUidSchema,
} from '@sallyport/protocol';
import { type LogEntryBody, newBoxKey, newSigningKey, peekEntry, type PublicJwk, thumbprint } from '@sallyport/seal';
import { editPayload, forgeEntry, freshUid, wrapOwnKey } from '@sallyport/testkit';
import type { RouterDatabase } from './router-database.ts';

/** What a router can lie about: sealed parts, the plain rows beside them, wraps, sessions and the trust log. */
const lyingTables = ['item_link', 'item_part', 'item', 'key_wrap', 'log_entry'] as const;
/** A router that runs writes too: wait for it, ms. */
const busyMs = 20_000;

function open(dataDir: string): DatabaseSync {
  return new DatabaseSync(join(dataDir, 'router.sqlite'), { timeout: busyMs, enableForeignKeyConstraints: false });
}

/** Lies under a router that runs: it reads what it serves from here at each request. */
export async function tellLie(dataDir: string, lie: (database: RouterDatabase) => void | Promise<void>): Promise<void> {
  const database = open(dataDir);
  try {
    await lie({
      all: (sql, ...values) => database.prepare(sql).all(...values),
      change: (sql, ...values) => {
        const { changes } = database.prepare(sql).run(...values);
        if (Number(changes) === 0) throw new Error(`no row was changed by: ${sql}`);
      },
    });
  } finally {
    database.close();
  }
}

/** Keeps what an honest router serves in a file of its own. */
export function keepHonest(dataDir: string, file: string): void {
  const database = open(dataDir);
  database.prepare('vacuum into ?').run(file);
  database.close();
}

/** Serves the truth again, under a router that runs. */
export function restoreHonest(dataDir: string, file: string): void {
  const database = open(dataDir);
  database.prepare('attach database ? as honest').run(file);
  database.exec('begin immediate');
  for (const table of lyingTables) database.exec(`delete from ${table}`);
  for (const table of lyingTables.toReversed()) {
    database.exec(`insert into ${table} select * from honest.${table}`);
  }
  database.exec(
    `update session as lied set gateway = kept.gateway from honest.session as kept where kept.id = lied.id`,
  );
  database.exec('commit');
  database.close();
}

/** UIDs of what the lies are about, as `pam` shows them. */
export interface LieNames {
  readonly web1: string;
  readonly web2: string;
  /** A record whose facts switch tunneling off. */
  readonly shut: string;
  readonly config: string;
  readonly otherConfig: string;
  readonly gateway: string;
  readonly otherGateway: string;
}

export type Lie = (database: RouterDatabase, names: LieNames) => void | Promise<void>;

type Row = Readonly<Record<string, unknown>>;

function only(rows: readonly Row[]): Row {
  const [row] = rows;
  if (row === undefined) throw new Error('there is no such row');
  return row;
}

function newestFacts({ all }: RouterDatabase, uid: string): string {
  const sql = `select envelope from item_part where uid = ? and part = 'facts' and newest = 1`;
  return String(only(all(sql, uid))['envelope']);
}

/** Serves this text as the newest facts of `uid`. */
function serveFacts({ change }: RouterDatabase, uid: string, envelope: string): void {
  change(`update item_part set envelope = ? where uid = ? and part = 'facts' and newest = 1`, envelope, uid);
}

export const swapFacts: Lie = (database, { web1, web2 }) => {
  const [one, other] = [newestFacts(database, web1), newestFacts(database, web2)];
  serveFacts(database, web1, other);
  serveFacts(database, web2, one);
};

/** The whole older row, number and text. */
export const rollBackFacts: Lie = ({ change }, { web1 }) => {
  change(`delete from item_part where uid = ? and part = 'facts' and newest = 1`, web1);
  change(`update item_part set newest = 1 where uid = ? and part = 'facts' and rev = 1`, web1);
};

/** The older text under the newer number. */
export const serveOlderAsNewer: Lie = (database, { web1 }) => {
  const sql = `select envelope from item_part where uid = ? and part = 'facts' and rev = 1`;
  serveFacts(database, web1, String(only(database.all(sql, web1))['envelope']));
};

/** The record's row and parts once more, under a UID of the liar's. */
export const serveUnderAnotherUid: Lie = ({ change }, { web1 }) => {
  const uid = freshUid();
  change(
    `insert into item select ?, app, type, mirror, created_ms, modified_ms, null from item where uid = ?`,
    uid,
    web1,
  );
  change(
    `insert into item_part select ?, part, rev, gen, envelope, author, at_ms, newest from item_part where uid = ?`,
    ...[uid, web1],
  );
};

/** One character of the sealed text in the middle. */
export const damageFacts: Lie = (database, { web1 }) => {
  const envelope = newestFacts(database, web1);
  const segments = envelope.split('.');
  const sealed = segments[3] ?? '';
  segments[3] = `${sealed[0] === 'A' ? 'B' : 'A'}${sealed.slice(1)}`;
  serveFacts(database, web1, segments.join('.'));
};

function editMirror({ all, change }: RouterDatabase, uid: string, edit: (mirror: Row) => Row): void {
  const mirror = JSON.parse(String(only(all('select mirror from item where uid = ?', uid))['mirror'])) as Row;
  change('update item set mirror = ? where uid = ?', JSON.stringify(edit(mirror)), uid);
}

export const switchMirror =
  (which: 'shut' | 'web1', tunneling: 'on' | 'off'): Lie =>
  (database, names) =>
    editMirror(database, names[which], (mirror) => ({
      ...mirror,
      permissions: { ...(mirror['permissions'] as Row), tunneling },
    }));

/** The record's plain link leads to the other configuration, which is said to be of the same gateway. */
export const rewireConfiguration: Lie = (database, { web1, gateway, otherConfig }) => {
  editMirror(database, web1, (mirror) => ({ ...mirror, configuration: otherConfig }));
  editMirror(database, otherConfig, (mirror) => ({ ...mirror, gateway }));
};

/** The configuration's plain link leads to the other gateway. */
export const rewireGateway: Lie = (database, { config, otherGateway }) =>
  editMirror(database, config, (mirror) => ({ ...mirror, gateway: otherGateway }));

/** Sessions that run are said to be for the other gateway, and so is the configuration. */
export const redirectSession: Lie = (database, names) => {
  database.change(
    'update session set gateway = ? where gateway = ? and ended_ms is null',
    names.otherGateway,
    names.gateway,
  );
  return rewireGateway(database, names);
};

function logOf({ all }: RouterDatabase): readonly { readonly entry: string; readonly body: LogEntryBody; n: number }[] {
  return all('select n, entry from log_entry order by n').map(({ n, entry }) => ({
    n: Number(n),
    entry: String(entry),
    body: peekEntry(String(entry)).body,
  }));
}

function serveEntry({ change }: RouterDatabase, n: number, entry: string): void {
  change('update log_entry set entry = ? where n = ?', entry, n);
}

/** A wrap of the liar's own facts key in the place of the honest one. */
export const replaceWrap =
  (of: 'person' | 'pool'): Lie =>
  async (database, { gateway }) => {
    const log = logOf(database).map(({ body }) => body);
    const key = log.flatMap((body): readonly PublicJwk[] => {
      if (of === 'person') return body.kind === 'genesis' ? [body.person.boxKey] : [];
      return body.kind === 'gateway' && body.gateway === gateway ? [body.boxKey] : [];
    })[0];
    if (key === undefined) throw new Error(`the log has no key of the ${of}`);
    const own = await newSigningKey();
    const recipient = await thumbprint(key);
    for (const row of database.all(`select app, part, gen, wrap from key_wrap where recipient = ?`, recipient)) {
      const honest: KeyWrap = {
        app: applicationUidSchema.parse(row['app']),
        part: keyPartSchema.parse(row['part']),
        gen: Number(row['gen']),
        recipient,
        wrap: String(row['wrap']),
      };
      const { wrap } = await wrapOwnKey(honest, key, own, Math.floor(Date.now() / 1_000));
      database.change(
        'update key_wrap set wrap = ? where recipient = ? and part = ? and gen = ? and app = ?',
        ...[wrap.wrap, recipient, honest.part, honest.gen, honest.app],
      );
    }
  };

/** The pool's public key in the log becomes one of the liar's own. */
export const substitutePoolKey: Lie = async (database, { gateway }) => {
  const found = logOf(database).find(({ body }) => body.kind === 'gateway' && body.gateway === gateway);
  if (found === undefined) throw new Error('the log has no entry of the gateway');
  const { publicJwk } = await newSigningKey();
  serveEntry(database, found.n, editPayload(found.entry, { signKey: publicJwk }));
};

/** The newest entry becomes one that the liar signed: a device or a person of its own making. */
export const forgeNewest =
  (kind: 'device' | 'person'): Lie =>
  async (database) => {
    const log = logOf(database);
    const genesis = log[0]?.body;
    if (genesis?.kind !== 'genesis') throw new Error('the log has no first entry');
    const own = await newSigningKey();
    const person = { uid: personUidSchema.parse(freshUid()), name: 'eve', signKey: own.publicJwk };
    const device = { id: deviceIdSchema.parse(own.id), key: own.publicJwk, kind: 'cli', label: 'mine' } as const;
    const body: LogEntryBody =
      kind === 'device'
        ? { kind, person: genesis.person.uid, device }
        : { kind, person: { ...person, boxKey: (await newBoxKey()).publicJwk }, rights: ['connect'] };
    const before = log.slice(0, -1).map(({ entry }) => entry);
    const anchor = String(only(database.all('select hash from log_entry where n = 0'))['hash']);
    const forged = await forgeEntry(anchor, before, body, own, Math.floor(Date.now() / 1_000));
    serveEntry(database, log.length - 1, forged.at(-1) ?? '');
  };

/** The first entry names other keys: another installation. */
export const replaceGenesis: Lie = async (database) => {
  const { publicJwk } = await newSigningKey();
  const first = logOf(database)[0];
  serveEntry(database, 0, editPayload(first?.entry ?? '', { recoveryKey: publicJwk, installation: freshUid() }));
};

/** The newest entry is named but not shown. */
export const withholdNewest: Lie = ({ change }) =>
  change('delete from log_entry where n = (select max(n) from log_entry)');
