import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout } from 'node:timers/promises';
import { type Act, driveAsync } from '../../src/store/act.ts';
import { poolActs } from '../../src/store/acts/pool-acts.ts';
import { openStore, storeFiles } from '../../src/store/index.ts';
import { queriesFor } from '../../src/store/queries.ts';
import { sqliteParameter } from '../../src/store/sqlite-engine.ts';
import { testNowMs } from './engines-time.ts';
import { join } from './samples.ts';

/**
 * The one process that owns a SQLite store: admits whoever asks on a unix socket, through the production store.
 *
 *     node join-server.ts DATA-DIR SOCKET [unlocked]
 *
 * `unlocked` is the planted fault: the same production statements, but with no transaction around them, so that those
 * of two joiners interleave.
 */
const [dataDir = '', path = '', fault] = process.argv.slice(2);
type Admit = (gateway: string, name: string) => Promise<string>;

async function locked(): Promise<Admit> {
  const store = await openStore({ dataDir }, { nowMs: () => testNowMs, onFatal: () => process.exit(1) });
  return async (gateway, name) => {
    const answer = await store.pool.admit({ ...join(name), gateway: gateway as never });
    return answer?.outcome.kind ?? 'none';
  };
}

function unlocked(): Admit {
  const db = new DatabaseSync(storeFiles(dataDir).file);
  db.exec('DROP INDEX IF EXISTS instance_seq; DROP INDEX IF EXISTS instance_epoch');
  const q = queriesFor('sqlite', { locks: false });
  const run = <T>(act: Act<T>): Promise<T> =>
    driveAsync(act, async (compiled) => {
      await setTimeout(Math.random() * 5);
      const statement = db.prepare(compiled.sql);
      const parameters = compiled.parameters.map(sqliteParameter);
      const reads = statement.columns().length > 0;
      const rows = reads ? statement.all(...parameters) : [];
      return { rows, affected: reads ? rows.length : Number(statement.run(...parameters).changes) };
    });
  return async (gateway, name) => {
    const answer = await run(poolActs.admit(q, { ...join(name), gateway: gateway as never }));
    return answer?.outcome.kind ?? 'none';
  };
}

const admit = fault === 'unlocked' ? unlocked() : await locked();
createServer((socket) => {
  socket.on('error', () => socket.destroy());
  createInterface({ input: socket }).once('line', (line) => {
    const asked = JSON.parse(line) as { gateway: string; name: string };
    admit(asked.gateway, asked.name).then(
      (kind) => socket.end(`${kind}\n`),
      (reason: unknown) => socket.end(`error ${String(reason)}\n`),
    );
  });
}).listen(path, 1_000, () => process.stdout.write('ready\n'));
process.stdin.on('end', () => process.exit(0)).resume();
