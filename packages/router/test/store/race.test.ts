import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { type PostgresServer, startPostgres, whyNoPostgres } from '@sallyport/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openStore, type Store } from '../../src/store/index.ts';
import { testNowMs } from './engines-time.ts';
import type { Order, RaceTarget } from './joiner.ts';
import { appUid, gatewayUid } from './samples.ts';

/**
 * 200 joiners in 20 processes, a connection each, race for m slots (issue 1, F6). Every race is also run with the lock
 * taken out, and must then be lost: a race that cannot fail proves nothing.
 */
const processes = 20;
const joinersEach = 10;
const rounds = Number(process.env['SALLYPORT_RACE_ROUNDS'] ?? 3);

interface Runner {
  readonly child: ChildProcess;
  readonly lines: AsyncIterator<string>;
}

const runners: Runner[] = [];
const folder = mkdtempSync(joinPath(tmpdir(), 'sallyport-race-'));
const noPostgres = await whyNoPostgres();
let server: PostgresServer | null = null;

function launch(file: string, args: readonly string[] = []): { child: ChildProcess; lines: AsyncIterator<string> } {
  const path = joinPath(import.meta.dirname, file);
  const child = spawn(process.execPath, [path, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  if (child.stdout === null) throw new Error('no stdout');
  const reader: Interface = createInterface({ input: child.stdout });
  return { child, lines: reader[Symbol.asyncIterator]() };
}

async function lineOf(runner: Runner): Promise<string> {
  const line = await runner.lines.next();
  if (line.done === true) throw new Error('a process of the race ended early');
  return line.value;
}

async function order(give: (index: number) => Order): Promise<string[]> {
  for (const [i, { child }] of runners.entries()) child.stdin?.write(`${JSON.stringify(give(i))}\n`);
  return Promise.all(runners.map(lineOf));
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const exited = once(child, 'exit');
  child.stdin?.end();
  await exited;
}

/** What 200 joiners were told, and who holds a slot afterwards. */
async function race(round: number, gateway: string): Promise<Map<string, number>> {
  const names = (process: number): string[] =>
    Array.from({ length: joinersEach }, (_, i) => `r${round}p${process}j${i}`);
  const told = await order((i) => ({ kind: 'go', gateway, names: names(i) }));
  const kinds = told.flatMap((line) => JSON.parse(line) as string[]);
  expect(kinds).toHaveLength(processes * joinersEach);
  return new Map([...Map.groupBy(kinds, (kind) => kind)].map(([kind, all]) => [kind, all.length]));
}

const gatewayOf = (round: number): ReturnType<typeof gatewayUid> => gatewayUid(`gateway${round}`);
const maximumOf = (round: number): number => [1, 3, 7, 2, 12][round % 5] ?? 3;

async function makeGateways(store: Store): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    const maxInstances = maximumOf(round);
    await store.pool.createGateway({
      uid: gatewayOf(round),
      app: appUid(),
      maxInstances,
      token: null,
      nowMs: testNowMs,
    });
  }
}

/** Rounds over one target; true when in one of them more were admitted than the maximum, or somebody got no answer. */
async function lostRounds(target: RaceTarget): Promise<string[]> {
  expect(new Set(await order(() => ({ kind: 'prepare', target })))).toEqual(new Set(['ready']));
  const lost: string[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const told = await race(round, gatewayOf(round));
    const maximum = maximumOf(round);
    const waiting = 2 * maximum + 10;
    const right =
      told.get('slot') === maximum &&
      told.get('standby') === waiting &&
      told.get('line-full') === processes * joinersEach - maximum - waiting;
    if (!right) lost.push(`round ${round}: ${JSON.stringify([...told])} of ${maximum}`);
  }
  return lost;
}

beforeAll(async () => {
  if (noPostgres === null) server = await startPostgres();
  for (let i = 0; i < processes; i += 1) runners.push(launch('joiner.ts'));
});

afterAll(async () => {
  await Promise.all(runners.map(({ child }) => end(child)));
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('200 joiners in 20 processes', () => {
  const deps = { nowMs: () => testNowMs, onFatal: () => undefined };

  const onPostgres = async (isolation: string, locks: boolean): Promise<string[]> => {
    const name = `race_${isolation.replace(' ', '_')}_${String(locks)}`;
    if (server === null) throw new Error('PostgreSQL is not running');
    const url = await server.createDatabase(name, { default_transaction_isolation: isolation });
    const store = await openStore({ databaseUrl: url }, deps);
    try {
      await makeGateways(store);
      if (!locks) await server.psql(name, 'DROP INDEX instance_seq, instance_epoch');
      const lost = await lostRounds({ kind: 'postgres', url, locks });
      expect(await server.psql(name, 'SHOW default_transaction_isolation')).toBe(isolation);
      if (!locks) return lost;
      for (let round = 0; round < rounds; round += 1) {
        const snapshot = await store.pool.readPool({ gateway: gatewayOf(round) });
        const slots = snapshot?.members.filter((member) => member.membership === 'slot') ?? [];
        expect(slots).toHaveLength(maximumOf(round));
      }
      return lost;
    } finally {
      await store.close();
    }
  };

  const onSqlite = async (fault: 'locked' | 'unlocked'): Promise<string[]> => {
    const dataDir = joinPath(folder, fault);
    const store = await openStore({ dataDir }, deps);
    await makeGateways(store);
    await store.close();
    const path = joinPath(folder, `${fault}.sock`);
    const owner = launch('join-server.ts', [dataDir, path, fault]);
    try {
      expect(await lineOf(owner)).toBe('ready');
      return await lostRounds({ kind: 'socket', path });
    } finally {
      await end(owner.child);
    }
  };

  test('never take more than the maximum on SQLite', async () => {
    expect(await onSqlite('locked')).toEqual([]);
  });

  test('take more than the maximum on SQLite without the transaction, so the race is a race', async () => {
    expect((await onSqlite('unlocked')).length).toBeGreaterThan(0);
  });

  describe.skipIf(noPostgres !== null)('on PostgreSQL', () => {
    test.each(['read committed', 'repeatable read'])(
      'never take more than the maximum when the default is %s',
      async (isolation) => {
        expect(await onPostgres(isolation, true)).toEqual([]);
      },
    );

    test('take more than the maximum without the lock, so the race is a race', async () => {
      expect((await onPostgres('read committed', false)).length).toBeGreaterThan(0);
    });
  });
});
