/**
 * Control links: simulated instances at one router. How long until all have joined, what they cost while idle, and how
 * long until all are back after the router was killed and started anew.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { descendantsOf, type Later } from '@sallyport/testkit';
import { newInstallation } from '../../e2e/harness/installation.ts';
import { until } from '../../e2e/harness/until.ts';
import type { LinksReport, LinksSetup } from '../harness/links.ts';
import { type HarnessChild, startChild, stopChild } from './child.ts';
import { cpuSeconds } from './process-cpu.ts';

export interface LinkRow {
  readonly links: number;
  readonly joinedSeconds: number;
  /** Of router and relay, until all had joined, and from the new router's start until all were back. */
  readonly joinCpuSeconds: number;
  readonly backCpuSeconds: number;
  /** Of the simulated instances, in the same times. In life they are as many machines. */
  readonly instancesJoinCpuSeconds: number;
  readonly instancesBackCpuSeconds: number;
  /** Resident memory of the router's own process and of its relay, with all links up and idle. */
  readonly routerMebibytes: number;
  readonly relayMebibytes: number;
  /** Of one core, both processes, over the idle time. */
  readonly idleCpuPercent: number;
  /** From the SIGKILL of the router until all links are up again. */
  readonly backSeconds: number;
  /** Links that were lost while nothing happened. */
  readonly lostIdle: number;
}

/** Members of one pool. */
const perGateway = 100;
const perProcess = 2_500;
const settleMs = 5_000;
const idleMs = 15_000;
/** All that is to come up, from the start of the first, or after the kill. */
const upWithinMs = 600_000;
/** The instances start within so long, spread evenly: nobody starts ten thousand machines in one moment. */
const rampMsPerLink = 1;
const sayEveryMs = 10_000;

interface Fleet {
  readonly child: HarnessChild;
  last: Extract<LinksReport, { kind: 'links' }>;
}

export async function measureLinks(later: Later, links: number, progress: (done: string) => void): Promise<LinkRow> {
  const installation = await newInstallation(later);
  await installation.pam(['app', 'new', 'prod']);
  const configs: string[] = [];
  for (let n = 0; n * perGateway < links; n += 1) {
    configs.push(await installation.newGateway(`pool${n + 1}`, 'prod', perGateway));
  }
  progress(`links: making ${links} identities`);
  const count = Math.max(2, Math.ceil(links / perProcess));
  const fleets = await Promise.all(
    Array.from({ length: count }, (_, n) => {
      const share = Math.floor(links / count) + (n < links % count ? 1 : 0);
      return makeFleet(later, { kind: 'setup', configs, count: share, block: n + 1 });
    }),
  );
  const sum = (of: 'up' | 'joins' | 'losses'): number => fleets.reduce((all, { last }) => all + last[of], 0);
  const cpuOfBoth = (): number => cpuSeconds([installation.router.child.pid]);
  const cpuOfInstances = (): number => cpuSeconds(fleets.map(({ child }) => child.pid));
  /** @returns seconds from `sinceMs` until all are up. */
  const allUp = async (what: string, joins: number, sinceMs: number): Promise<number> => {
    const seconds = (): number => (performance.now() - sinceMs) / 1_000;
    const errors = (): string =>
      fleets
        .map(({ last }) => last.lastError)
        .filter(Boolean)
        .join('; ');
    const asYet = setInterval(() => {
      const cpu = `CPU so far ${cpuOfBoth().toFixed(0)} s and ${cpuOfInstances().toFixed(0)} s`;
      const of = `${sum('up')} of ${links} up, ${sum('losses')} lost`;
      progress(`links: ${of} after ${seconds().toFixed(0)} s; ${cpu}; ${errors()}`);
    }, sayEveryMs);
    try {
      await until(what, () => sum('up') === links && sum('joins') >= joins, upWithinMs);
      return seconds();
    } catch (reason) {
      throw new Error(`${String(reason)}: ${sum('up')} of ${links} are up; ${errors()}`, { cause: reason });
    } finally {
      clearInterval(asYet);
    }
  };
  const [cpuAtStart, instancesAtStart] = [cpuOfBoth(), cpuOfInstances()];
  const startedAtMs = performance.now();
  for (const { child } of fleets) child.process.send({ kind: 'go', withinMs: links * rampMsPerLink });
  const joinedSeconds = await allUp('all have joined', links, startedAtMs);
  const joinCpuSeconds = cpuOfBoth() - cpuAtStart;
  const instancesJoinCpuSeconds = cpuOfInstances() - instancesAtStart;
  progress(`links: all joined after ${joinedSeconds.toFixed(1)} s`);

  await pause(settleMs);
  const { pid } = installation.router.child;
  const [before, lossesBefore] = [cpuSeconds([pid]), sum('losses')];
  await pause(idleMs);
  const idleCpuPercent = ((cpuSeconds([pid]) - before) / (idleMs / 1_000)) * 100;
  const lostIdle = sum('losses') - lossesBefore;
  const routerMebibytes = residentMebibytes(pid);
  const relayMebibytes = residentMebibytes(descendantsOf(pid)[0] ?? pid);

  const joinsBefore = sum('joins');
  const instancesAtKill = cpuOfInstances();
  const killedAtMs = performance.now();
  await installation.restartRouter('SIGKILL');
  const backSeconds = await allUp('all are back', joinsBefore + links, killedAtMs);
  const backCpuSeconds = cpuOfBoth();
  const instancesBackCpuSeconds = cpuOfInstances() - instancesAtKill;
  progress(`links: all back after ${backSeconds.toFixed(1)} s`);
  const instances = { instancesJoinCpuSeconds, instancesBackCpuSeconds };
  const cpu = { joinCpuSeconds, idleCpuPercent, backCpuSeconds, ...instances };
  return { links, joinedSeconds, routerMebibytes, relayMebibytes, ...cpu, backSeconds, lostIdle };
}

async function makeFleet(later: Later, setup: LinksSetup): Promise<Fleet> {
  const child = await startChild(new URL('../harness/links.ts', import.meta.url), 'links', setup);
  later(() => stopChild(child));
  const fleet: Fleet = { child, last: { kind: 'links', up: 0, joins: 0, losses: 0, lastError: '' } };
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.process.on('message', (report: LinksReport) => {
    if (report.kind === 'made') resolve();
    else if (report.kind === 'links') fleet.last = report;
  });
  child.process.once('exit', () => reject(new Error('bench: a process of links ended')));
  await promise;
  return fleet;
}

function residentMebibytes(pid: number): number {
  const [, kibibytes = '0'] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kibibytes) / 1_024;
}
