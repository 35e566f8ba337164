/**
 * `npm run bench`: ours and OpenSSH side by side, in one run. Figures, never assertions. `bench/options.ts` has the flags.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createCleanup, type Later } from '@sallyport/testkit';
import { type BulkRow, measureBulk } from './measure/bulk.ts';
import { measureCarriers } from './measure/carriers.ts';
import { startChild, stopChild } from './measure/child.ts';
import { measureDrain } from './measure/drain.ts';
import { measureFailover } from './measure/failover.ts';
import { measureKills } from './measure/kills.ts';
import { measureLatency } from './measure/latency.ts';
import { type LinkRow, measureLinks } from './measure/links.ts';
import { show } from './measure/numbers.ts';
import { measureRestarts } from './measure/restarts.ts';
import providePrograms from '../scripts/provide-programs.ts';
import { parseOptions } from './options.ts';
import { startHarnessTunnel } from './peers/harness-tunnel.ts';
import { startSshPeer } from './peers/ssh.ts';
import type { Tunnel } from './peers/tunnel.ts';
import { startWholePrograms } from './peers/whole-programs.ts';
import { docsPage } from './report/docs-page.ts';
import { loadAverage, type Report, thisMachine } from './report/report.ts';
import { tablesOf } from './report/tables.ts';

const overallMs = 40 * 60_000;
const options = parseOptions(process.argv.slice(2));
const { parts, rounds, gib, connections, trials, withPeers, writeDocs } = options;
const { later, run: cleanUp } = createCleanup();
const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** Parts that failed; the report says so, and the others are worth having all the same. */
const failed: string[] = [];

/** One part, with everything it started gone at its end; nothing when it was not asked for, or failed. */
async function part<T>(
  name: Parameters<typeof parts.has>[0],
  title: string,
  run: (later: Later) => Promise<T>,
): Promise<T | null> {
  if (!parts.has(name)) return null;
  say(`(${name}) ${title}`);
  const own = createCleanup();
  later(own.run);
  try {
    return await run(own.later);
  } catch (error) {
    failed.push(title);
    process.exitCode = 1;
    say(`(${name}) ${title} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    return null;
  } finally {
    await own.run();
  }
}

async function measure(): Promise<Report> {
  await providePrograms();
  const startedMs = performance.now();
  const before = loadAverage();
  const sideBySide = await measureSideBySide();
  const failover = await part('d', 'failover', (end) => measureFailover(end, trials, say));
  const restarts = await part('e', 'router restarts', (end) => measureRestarts(end, trials, say));
  const carriers = await part('f', 'carriers', (end) =>
    measureCarriers(end, { bytes: gib * 2 ** 30, connections, rounds }, say),
  );
  const drain = await part('g', 'drain', (end) => measureDrain(end, options.streams, say));
  const links: LinkRow[] = [];
  for (const count of options.links) {
    const row = await part('h', `${count} control links`, (end) => measureLinks(end, count, say));
    if (row !== null) links.push(row);
  }
  return {
    at: new Date().toISOString(),
    seconds: (performance.now() - startedMs) / 1_000,
    rounds,
    gibPerRound: gib,
    connectionsPerRound: connections,
    machine: thisMachine(),
    loadAverage: { before, after: loadAverage() },
    ...sideBySide,
    failover: failover ?? [],
    restarts,
    carriers,
    drain,
    links,
  };
}

/** (a) to (c): ours beside OpenSSH, and kills of ours. */
async function measureSideBySide(): Promise<Pick<Report, 'bulk' | 'latency' | 'kills'>> {
  if (!parts.has('a') && !parts.has('b') && !parts.has('c')) return { bulk: [], latency: [], kills: null };
  const ssh = withPeers ? await startSshPeer() : null;
  later(() => ssh?.close());
  const target = await startChild(new URL('./harness/target.ts', import.meta.url), 'target');
  later(() => stopChild(target));
  const load = await startChild(new URL('./harness/load.ts', import.meta.url), 'load');
  later(() => stopChild(load));
  say('starting the tunnels');
  const programs = await startWholePrograms(later, target.port);
  const tunnels: Tunnel[] = [programs.tunnel];
  if (parts.has('a') || parts.has('b')) {
    const starters = [startHarnessTunnel, ...(ssh === null ? [] : [ssh.twoHops, ssh.oneHop])];
    for (const start of starters) {
      const tunnel = await start(target.port);
      tunnels.push(tunnel);
      later(() => tunnel.close());
    }
  }
  const bulk: BulkRow[] = [];
  for (const streams of parts.has('a') ? [1, 8] : []) {
    say(`(a) bulk, ${streams} at a time`);
    bulk.push(...(await measureBulk({ tunnels, load, target, streams, bytes: gib * 2 ** 30, rounds })));
  }
  if (parts.has('b')) say('(b) latency and new connections');
  const latency = parts.has('b') ? await measureLatency({ tunnels, load, roundTrips: 2_000, connections, rounds }) : [];
  if (parts.has('c')) say('(c) kills');
  const kills = parts.has('c') ? await measureKills(programs, trials, say) : null;
  return { bulk, latency, kills };
}

function publish(report: Report): void {
  const folder = new URL('./results/', import.meta.url);
  mkdirSync(folder, { recursive: true });
  const file = new URL(`bench-${report.at.replaceAll(':', '-')}.json`, folder);
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
  const { before, after } = report.loadAverage;
  process.stdout.write(`\n${tablesOf(report).join('\n')}`);
  process.stdout.write(
    `\nload average at the start ${before.map(show).join(' ')}, at the end ${after.map(show).join(' ')}`,
  );
  process.stdout.write(`\n${Math.round(report.seconds)} s; written: ${file.pathname}\n`);
  if (failed.length > 0) process.stdout.write(`failed, and left out: ${failed.join(', ')}\n`);
  if (!writeDocs) return;
  const page = new URL('../docs/benchmarks.md', import.meta.url);
  writeFileSync(page, docsPage(report));
  process.stdout.write(`written: ${page.pathname}\n`);
}

/** Rejects when the bench is told to end, or hangs. */
const stopped = new Promise<never>((_, reject) => {
  const timer = setTimeout(() => reject(new Error(`not done after ${overallMs / 60_000} minutes`)), overallMs);
  timer.unref();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => reject(new Error(signal)));
});
try {
  publish(await Promise.race([measure(), stopped]));
} catch (error) {
  say(`bench: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  process.exitCode = 1;
} finally {
  await cleanUp();
}
process.exit();
