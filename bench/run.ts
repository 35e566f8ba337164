/**
 * `npm run bench`: ours and OpenSSH side by side, in one run. Figures, never assertions.
 *
 * --quick (fewer and shorter rounds) · --only bulk,latency,programs · --gib N · --rounds N · --trials N (kills)
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { parseArgs } from 'node:util';
import { type BulkRow, measureBulk } from './measure/bulk.ts';
import { startChild, stopChild } from './measure/child.ts';
import { type LatencyRow, measureLatency } from './measure/latency.ts';
import { printTable } from './measure/print-table.ts';
import { show } from './measure/numbers.ts';
import { measureWholePrograms } from './measure/whole-programs.ts';
import { startHarnessTunnel } from './peers/harness-tunnel.ts';
import { sshVersion, startSshPeer } from './peers/ssh.ts';
import type { Tunnel } from './peers/tunnel.ts';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: 'bulk,latency,programs' },
    gib: { type: 'string' },
    rounds: { type: 'string' },
    trials: { type: 'string' },
    ours: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds ?? 3);
const gibibytes = Number(values.gib ?? (values.quick ? 0.5 : 2));
const parts = values.only.split(',');

const target = await startChild(new URL('./harness/target.ts', import.meta.url), 'target');
const load = await startChild(new URL('./harness/load.ts', import.meta.url), 'load');
const ssh = values.ours ? null : await startSshPeer();
const starters = [
  () => startHarnessTunnel(target.port),
  ...(ssh === null ? [] : [() => ssh.twoHops(target.port), () => ssh.oneHop(target.port)]),
];
const bulk: BulkRow[] = [];
const latency: LatencyRow[] = [];
const loadBefore = loadavg();
const tunnels: Tunnel[] = [];
try {
  for (const start of starters) tunnels.push(await start());
  if (parts.includes('bulk')) {
    for (const streams of [1, 8]) {
      bulk.push(...(await measureBulk({ tunnels, load, target, streams, bytes: gibibytes * 2 ** 30, rounds })));
    }
  }
  if (parts.includes('latency')) {
    const connections = values.quick ? 100 : 400;
    for (const tunnel of tunnels) {
      latency.push(await measureLatency({ tunnel, load, roundTrips: 2_000, connections, rounds }));
    }
  }
  for (const tunnel of tunnels) await tunnel.close();
} finally {
  ssh?.close();
  await stopChild(load);
  await stopChild(target);
}
const trials = Number(values.trials ?? (values.quick ? 10 : 100));
const programs = parts.includes('programs')
  ? await measureWholePrograms(trials, values.quick ? 100 : 300, (done) => process.stderr.write(`${done}\n`))
  : null;
const report = {
  at: new Date().toISOString(),
  machine: {
    cpu: cpus()[0]?.model ?? '',
    cores: cpus().length,
    kernel: release(),
    node: process.version,
    ssh: sshVersion(),
  },
  loadAverage: { before: loadBefore, after: loadavg() },
  bulk,
  latency,
  programs,
};
const folder = new URL('./results/', import.meta.url);
mkdirSync(folder, { recursive: true });
const file = new URL(`bench-${report.at.replaceAll(':', '-')}.json`, folder);
writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);

process.stdout.write(
  `\nload average before ${loadBefore.map(show).join(' ')}, after ${loadavg().map(show).join(' ')}\n`,
);
if (bulk.length > 0) {
  printTable(
    ['bulk, median of ' + rounds, 'streams', 'MiB/s', 'CPU-s/GiB tunnel', 'CPU-s/GiB all processes'],
    bulk.map((row) => [
      row.name,
      String(row.streams),
      show(row.mebibytesPerSecond),
      show(row.cpuPerGib),
      show(row.cpuPerGibAll),
    ]),
  );
}
if (latency.length > 0) {
  printTable(
    ['latency', '1-byte round trip p50 ms', 'p99', 'new connection p50 ms', 'p99', 'CPU ms each', 'TCP_NODELAY'],
    latency.map((row) => [
      row.name,
      show(row.roundTrip.p50),
      show(row.roundTrip.p99),
      show(row.connection.p50),
      show(row.connection.p99),
      show(row.cpuMsPerConnection),
      row.noDelay,
    ]),
  );
}
if (programs !== null) {
  const { failover, fresh } = programs;
  printTable(
    ['whole programs', 'n', 'p50 ms', 'p99', 'max', 'failed connections', 'CPU ms each'],
    [
      [
        'new connection, first byte',
        String(fresh.connections),
        show(fresh.p50Ms),
        show(fresh.p99Ms),
        '',
        '',
        show(fresh.cpuMsEach),
      ],
      ...(failover === null
        ? []
        : [
            [
              'SIGKILL of the serving instance to first byte through another',
              String(failover.trials),
              show(failover.p50Ms),
              show(failover.p99Ms),
              show(failover.maxMs),
              String(failover.failed),
              '',
            ],
          ]),
    ],
  );
}
process.stdout.write(`\nwritten: ${file.pathname}\n`);
