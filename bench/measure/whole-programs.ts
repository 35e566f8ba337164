import { connect } from 'node:net';
import { createCleanup, startHttpTarget } from '@sallyport/testkit';
import { type Installation, newInstallation, newMachine, withPool } from '../../e2e/harness/installation.ts';
import type { Instance } from '../../e2e/harness/instance.ts';
import { until } from '../../e2e/harness/until.ts';
import { quantile } from './numbers.ts';
import { cpuSeconds } from './process-cpu.ts';

/** Time from SIGKILL of the serving instance to the first byte through another, over many kills; milliseconds. */
export interface FailoverRow {
  readonly trials: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** New connections that failed after a kill; the stream that ran on the dead instance is not one. */
  readonly failed: number;
  /** Streams on the dead instance that ended with a reset, as they must; any other end is counted in `failed`. */
  readonly reset: number;
}

/** New connections through `pam tunnel`, one after the other: request sent to first byte of the answer. */
export interface NewConnectionRow {
  readonly connections: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU of router, instances and `pam`, milliseconds for each connection. */
  readonly cpuMsEach: number;
}

const requestText = 'GET / HTTP/1.1\r\nHost: bench\r\nConnection: keep-alive\r\n\r\n';
const requestsAfterKill = 5;

/** One request on a connection of its own. Resolves with what became of it, and the connection when it is kept. */
function ask(
  port: number,
): Promise<{ readonly ms: number; readonly close: () => void; readonly end: Promise<string> }> {
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    const end = new Promise<string>((ended) => {
      socket.once('error', (error: NodeJS.ErrnoException) => ended(error.code ?? 'error'));
      socket.once('end', () => ended('end'));
      socket.once('close', () => ended('close'));
    });
    end.then(reject, reject);
    socket.setTimeout(20_000, () => socket.destroy());
    socket.once('connect', () => socket.write(requestText));
    socket.once('data', () => resolve({ ms: performance.now() - startedMs, close: () => socket.destroy(), end }));
  });
}

/** Milliseconds from now to the first byte of an answer, and how many connections failed before it. */
async function firstAnswer(port: number): Promise<{ readonly ms: number; readonly failed: number }> {
  const startedMs = performance.now();
  for (let failed = 0; ; failed++) {
    const answer = await ask(port).catch(() => null);
    if (answer !== null) {
      answer.close();
      return { ms: performance.now() - startedMs, failed };
    }
    if (failed === 100) return { ms: Number.NaN, failed };
  }
}

async function killServing(
  installation: Installation,
  pool: Set<Instance>,
  config: string,
  port: number,
  trial: number,
) {
  const before = new Map([...pool].map((instance) => [instance, instance.opened().length]));
  const held = await ask(port);
  const serving = await until('an instance that serves', () =>
    [...pool].find((instance) => instance.opened().length > (before.get(instance) ?? 0)),
  );
  serving.child.kill('SIGKILL');
  const first = await firstAnswer(port);
  let failed = first.failed;
  for (let more = 0; more < requestsAfterKill; more++) failed += (await firstAnswer(port)).failed;
  const wasReset = (await held.end) === 'ECONNRESET';
  pool.delete(serving);
  const replacement = installation.startInstance(`bench-${trial}`, config);
  await replacement.said('ready');
  pool.add(replacement);
  return { ms: first.ms, failed: failed + (wasReset ? 0 : 1), reset: wasReset ? 1 : 0 };
}

/**
 * Measures the real programs: a router, three instances and one standby, `pam tunnel start`, an HTTP target.
 *
 * @param trials - kills; 100 take about three minutes.
 */
export async function measureWholePrograms(
  trials: number,
  connections: number,
  progress: (done: string) => void,
): Promise<{ readonly failover: FailoverRow | null; readonly fresh: NewConnectionRow }> {
  const cleanup = createCleanup();
  try {
    const target = await startHttpTarget(cleanup.later);
    const installation = await newInstallation(cleanup.later);
    const config = await withPool(installation);
    await newMachine(installation, 'target', target);
    const pool = new Set([1, 2, 3, 4].map((n) => installation.startInstance(`bench-first-${n}`, config)));
    for (const instance of pool) await instance.said('ready');
    const { port, child } = await installation.openTunnel('target');

    const times: number[] = [];
    for (let n = 0; n < 20; n++) (await ask(port)).close();
    const roots = [child.pid, installation.router.child.pid, ...[...pool].map((instance) => instance.child.pid)];
    const cpuBefore = cpuSeconds(roots);
    for (let n = 0; n < connections; n++) {
      const answer = await ask(port);
      times.push(answer.ms);
      answer.close();
    }
    const fresh: NewConnectionRow = {
      connections,
      p50Ms: quantile(times, 0.5),
      p99Ms: quantile(times, 0.99),
      cpuMsEach: ((cpuSeconds(roots) - cpuBefore) * 1_000) / connections,
    };

    const kills: { ms: number; failed: number; reset: number }[] = [];
    for (let trial = 0; trial < trials; trial++) {
      kills.push(await killServing(installation, pool, config, port, trial));
      if ((trial + 1) % 10 === 0) progress(`${trial + 1} of ${trials} kills`);
    }
    const gaps = kills.map((kill) => kill.ms);
    const failover =
      trials === 0
        ? null
        : {
            trials,
            p50Ms: quantile(gaps, 0.5),
            p99Ms: quantile(gaps, 0.99),
            maxMs: Math.max(...gaps),
            failed: kills.reduce((sum, kill) => sum + kill.failed, 0),
            reset: kills.reduce((sum, kill) => sum + kill.reset, 0),
          };
    return { failover, fresh };
  } finally {
    await cleanup.run();
  }
}
