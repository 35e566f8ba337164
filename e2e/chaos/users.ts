import { runChild, type SeededRandom, startChild } from '@sallyport/testkit';
import { cleanEnvironment } from '../harness/programs.ts';
import { longMs, until } from '../harness/until.ts';
import type { ChaosPool } from './chaos-pool.ts';
import type { StreamRecord, UseRecord } from './check-run.ts';

/** What the people at the pool did, while it lasted; ms since the start of the run. */
export interface Work {
  readonly streams: StreamRecord[];
  readonly uses: UseRecord[];
}

const streamsAtOnce = 8;
const streamBytes = { least: 20_000, most: 600_000 } as const;
const bytesPerSecond = 100_000;

/**
 * People who work until told to stop: eight streams at a time that hash every byte both ways, a `curl` a moment, and a
 * `psql` that sits idle in a transaction. Resolves when the last of them has ended.
 */
export async function work(
  pool: ChaosPool,
  random: SeededRandom,
  nowMs: () => number,
  isOver: () => boolean,
): Promise<Work> {
  const done: Work = { streams: [], uses: [] };
  let number = 0;
  const streams = async (): Promise<void> => {
    while (!isOver()) {
      number += 1;
      const size = (): number => streamBytes.least + random.below(streamBytes.most - streamBytes.least);
      done.streams.push(await oneStream(pool, `chaos-${number}`, size(), size(), nowMs));
    }
  };
  const repeat = async (once: () => Promise<UseRecord>): Promise<void> => {
    while (!isOver()) done.uses.push(await once());
  };
  await Promise.all([
    ...Array.from({ length: streamsAtOnce }, streams),
    repeat(() => oneCurl(pool, nowMs)),
    repeat(() => onePsql(pool, nowMs, isOver)),
  ]);
  return done;
}

async function oneStream(
  pool: ChaosPool,
  id: string,
  up: number,
  down: number,
  nowMs: () => number,
): Promise<StreamRecord> {
  const order = { id, up, down, bytesPerSecond };
  const fromMs = nowMs();
  const user = await pool.user.open(order, pool.web.port).ended();
  const toMs = nowMs();
  return {
    order,
    fromMs,
    toMs,
    user,
    // A moment later: the target prints its own end.
    get target() {
      return pool.target.ended().filter((end) => end.id === id);
    },
  };
}

async function oneCurl({ web, userHost }: ChaosPool, nowMs: () => number): Promise<UseRecord> {
  const fromMs = nowMs();
  const url = `http://127.0.0.1:${web.port}/`;
  const run = await runChild('curl', ['-sS', '--max-time', '20', url], { within: userHost.within });
  const isServed = run.code === 0 && run.stdout === 'ok\n';
  return { name: 'curl', fromMs, toMs: nowMs(), isServed, said: run.stderr.trim(), carriedBy: null };
}

/** Looks often whether the run is over: nobody sits in his transaction beyond it. */
async function onePsql(
  { database, userHost }: ChaosPool,
  nowMs: () => number,
  isOver: () => boolean,
): Promise<UseRecord> {
  const fromMs = nowMs();
  const env = {
    ...cleanEnvironment,
    ...{ PGHOST: '127.0.0.1', PGPORT: String(database.port), PGUSER: 'postgres', PGDATABASE: 'postgres' },
    ...{ PGPASSWORD: 'test-only', PGCONNECT_TIMEOUT: '20' },
  };
  const psql = startChild(() => undefined, 'psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1'], {
    env,
    within: userHost.within,
  });
  let hasExited = false;
  const exited = psql.exited.then((exit) => {
    hasExited = true;
    return exit;
  });
  psql.write("begin;\nselect 'carried by ' || host(inet_client_addr());\n");
  const sitsUntilMs = nowMs() + 10_000;
  await until('the end of its idling', () => hasExited || isOver() || nowMs() > sitsUntilMs, 2 * longMs);
  psql.write("select 'still ' || 'here';\ncommit;\n\\q\n");
  await Promise.race([exited, until('psql has ended', () => hasExited, longMs)]).catch(() => psql.kill('SIGKILL'));
  await exited;
  const carriedBy = /^carried by (\S+)$/m.exec(psql.stdout())?.[1] ?? null;
  const isServed = /^still here$/m.test(psql.stdout());
  return { name: 'psql', fromMs, toMs: nowMs(), isServed, said: psql.stderr().trim(), carriedBy };
}
