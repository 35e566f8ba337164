import { DatabaseSync } from 'node:sqlite';
import type { CompiledQuery } from 'kysely';
import { expect, test } from 'vitest';
import { type Act, drive, prepared, type Rows } from '../../src/store/act.ts';
import { type ActCall, actOf } from '../../src/store/acts/index.ts';
import { migrate } from '../../src/store/migrations.ts';
import { queriesFor } from '../../src/store/queries.ts';
import { sqliteParameter } from '../../src/store/sqlite-engine.ts';
import { testNowMs } from './engines-time.ts';
import { account, claimOf, jobId, newOrder, note, one, user, userRecord } from './rotation-samples.ts';
import { application, gatewayUid, hash } from './samples.ts';

const nowMs = testNowMs;

/** A store in memory that remembers how SQLite went about each statement. */
function planned() {
  const db = new DatabaseSync(':memory:');
  const q = queriesFor('sqlite');
  const plans = new Map<string, readonly string[]>();
  const execute = ({ sql, parameters }: CompiledQuery): Rows => {
    const statement = db.prepare(sql);
    const values = parameters.map(sqliteParameter);
    if (/^(select|insert|update|delete)/.test(sql)) {
      const plan = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values);
      plans.set(
        sql,
        plan.map((row) => String(row['detail'])),
      );
    }
    if (statement.columns().length > 0) {
      const rows = statement.all(...values);
      return { rows, affected: rows.length };
    }
    return { rows: [], affected: Number(statement.run(...values).changes) };
  };
  const runAct = <T>(act: Act<T>): T => drive(act, execute);
  runAct(migrate(q, nowMs));
  plans.clear();
  return { q, plans, call: (call: ActCall): unknown => runAct(actOf(q, call)) };
}

test('no statement of a rotation, from order to end, reads a table that grows from end to end', () => {
  const { plans, call } = planned();
  const rotation = (method: string, input: object) =>
    call({ concept: 'rotation', method, input: { nowMs, ...input } }) as Record<string, unknown>;
  const put = (items: readonly object[]) =>
    call({ concept: 'vault', method: 'putItems', input: { items, author: 'anna', nowMs } });
  put([application()]);
  put([userRecord()]);
  const [job, instance] = [jobId('job'), one];
  const told = (seq: number) => ({
    ...{ router: 'router', start: 1 },
    events: [
      {
        ...{ atMs: nowMs, kind: 'job.ended', body: '{}', actorEvent: 'event' },
        actor: { id: hash('actor'), seq, prev: seq === 1 ? '' : hash(`event ${seq - 1}`), hash: hash(`event ${seq}`) },
      },
    ],
  });
  const { lease } = rotation('renewLease', { instance, gateway: gatewayUid(), lease: null, after: 0 });
  rotation('startJobs', { orders: [newOrder('job')], told: told(1) });
  expect(rotation('listOffered', { gateway: gatewayUid(), each: 16 })).toHaveLength(1);
  expect(rotation('readOfferItems', { record: user })).toHaveLength(1);
  const { claimed } = rotation('claimJob', claimOf('job', Number(lease))) as { claimed: { epoch: number } };
  const at = { job, epoch: claimed.epoch, instance };
  const { version } = rotation('stageVersion', { ...at, key: 'stage', rev: 2, gen: 1, envelope: 'e'.repeat(32) });
  const { send } = rotation('permitSend', { ...at, key: 'permit', mark: 0, address: note });
  rotation('reportStep', { ...at, key: 'wrote', what: { kind: 'wrote', send, outcome: 'applied' }, note: null });
  for (const act of ['take', 'return']) rotation('takeLogin', { job, account, id: 'login-01', act, instance });
  rotation('reportStep', { ...at, key: 'verified', what: { kind: 'verified', version, send }, note: null });
  rotation('promoteVersion', { ...at, version, promoted: told(2), edited: told(2) });
  const end = { outcome: 'done', why: 'rotated', note, recheckMs: [60_000] };
  expect(rotation('finishJob', { ...at, ...end, told: told(3) })).toMatchObject({ job: { state: 'done' } });
  rotation('listHeldLeases', {});

  expect(plans.size).toBeGreaterThan(40);
  const scans = [...plans].filter(([, plan]) => plan.some((step) => /^SCAN (?!.*USING)/.test(step)));
  expect(scans).toEqual([]);
});

test('a prepared statement is built once and run with the values of each time', () => {
  const { q } = planned();
  let built = 0;
  const named = prepared((db, of: { uid: string; most: number }) => {
    built += 1;
    return db.selectFrom('item').select('uid').where('uid', '>', of.uid).where('type', '=', 'pamUser').limit(of.most);
  });
  const [one, two] = [
    { uid: 'a', most: 1 },
    { uid: 'b', most: 2 },
  ].map((of) => named(q, of).compile());
  expect(one?.parameters).toEqual(['a', 'pamUser', 1]);
  expect(two).toMatchObject({ sql: one?.sql, parameters: ['b', 'pamUser', 2] });
  expect(named(queriesFor('postgres'), { uid: 'c', most: 3 }).compile().sql).toContain('$3');
  expect(built).toBe(2);
});
