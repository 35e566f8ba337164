import { show } from '../measure/numbers.ts';
import type { RotationRow } from './rotate-all.ts';

export interface RotationReport {
  readonly at: string;
  readonly machine: { readonly cpu: string; readonly cores: number; readonly kernel: string; readonly node: string };
  readonly postgres: string;
  readonly roles: number;
  readonly loadAverage: { readonly before: readonly number[]; readonly after: readonly number[] };
  /** Seconds of each round of the script, by how many at once. */
  readonly script: readonly { readonly atOnce: number; readonly seconds: readonly number[]; readonly median: number }[];
  /** Of each size the round in the middle, and the seconds of all. */
  readonly pools: readonly (RotationRow & { readonly rounds: readonly number[] })[];
}

/** docs/benchmarks-rotation.md, whole. */
export function rotationPage(report: RotationReport): string {
  const { at, machine, postgres, roles, loadAverage } = report;
  return [
    '# Benchmark of rotations',
    '',
    '<!-- Written by `npm run bench:rotation -- --write-docs`: change bench/rotation/page.ts, not this file. -->',
    '',
    `${roles} roles of one PostgreSQL server, every one rotated in each round by each pool and by each script, in one run on loopback; rows are the round in the middle.`,
    '',
    `- When: ${at.slice(0, 16).replace('T', ' ')} UTC.`,
    `- Machine: ${machine.cores} cores (${machine.cpu}), Linux ${machine.kernel}, Node ${machine.node}; router, instances, server and the one who orders share them.`,
    `- Server: PostgreSQL ${postgres}, SCRAM-SHA-256, without fsync, for script and pools alike. Router: embedded store, with fsync.`,
    `- Load average over 1, 5, 15 minutes: ${loadAverage.before.map(show).join(' ')} at the start, ${loadAverage.after.map(show).join(' ')} at the end.`,
    '- The script: `ALTER ROLE` and a fresh login for each, with the same client library; nothing is staged, checked or recorded.',
    '- A pool: for each role a signed order, a candidate sealed and stored, a permit with a number, the write, a fresh login, the record promoted, the event signed. Time is from the first order to the end of the last job, asked for twice a second; orders are signed meanwhile, on the same cores, 32 with one event. A job waits for its turn before its first claim, which p50 and p99 leave out.',
    '',
    ...rotationTables(report),
    '',
  ].join('\n');
}

export function rotationTables({ script, pools }: RotationReport): readonly string[] {
  const best = Math.min(...script.map(({ median }) => median));
  const of = (atOnce: number): number => script.find((one) => one.atOnce === atOnce)?.median ?? Number.NaN;
  return [
    ...table(
      ['the script', 'rounds', 'seconds, median', 'a minute'],
      script.map(({ atOnce, seconds, median }) => [
        `${atOnce} at once`,
        String(seconds.length),
        show(median),
        show(((pools[0]?.roles ?? 0) / median) * 60),
      ]),
    ),
    '',
    ...table(
      [
        ...['instances', 'seconds', 'all rounds', 'a minute', 'not done', '× script, 1 at once', `× script, best`],
        ...['job p50 ms', 'p99 ms', 'CPU-s router', 'CPU-s instances', 'CPU-s server'],
        ...['peak MiB router', 'peak MiB an instance', 'seconds to order'],
      ],
      pools.map((row) => [
        ...[
          String(row.instances),
          show(row.seconds),
          row.rounds.map(show).join(' '),
          show(row.perMinute),
          String(row.notDone),
        ],
        ...[show(row.seconds / of(1)), show(row.seconds / best)],
        ...[show(row.jobMs.p50), show(row.jobMs.p99)],
        ...[show(row.cpuSeconds.router), show(row.cpuSeconds.instances), show(row.cpuSeconds.server)],
        ...[show(row.peakMiB.router), show(row.peakMiB.instance), show(row.orderedSeconds)],
      ]),
    ),
  ];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}
