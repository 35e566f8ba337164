import type { BulkRow } from '../measure/bulk.ts';
import type { LatencyRow } from '../measure/latency.ts';
import { show } from '../measure/numbers.ts';
import type { Report } from './report.ts';

/** The tables of a report as Markdown, aligned; one per part that was measured. */
export function tablesOf(report: Report): readonly string[] {
  const tables = [sideBySide, killTable, failoverTable, restartTable, carrierTables, drainTable, linkTable];
  return tables.flatMap((of) => of(report)).filter((table) => table !== '');
}

function sideBySide(report: Report): readonly string[] {
  return [bulkTable('(a) bulk', report.bulk, report), latencyTable('(b) latency', report.latency, report)];
}

function carrierTables({ carriers, ...report }: Report): readonly string[] {
  const { bulk, latency } = carriers ?? { bulk: [], latency: [] };
  return [bulkTable('(f) carriers, bulk', bulk, report), latencyTable('(f) carriers, latency', latency, report)];
}

function bulkTable(
  what: string,
  bulk: readonly BulkRow[],
  { rounds, gibPerRound }: Pick<Report, 'rounds' | 'gibPerRound'>,
): string {
  const title = `${what}, target → user, ${show(gibPerRound)} GiB, median of ${rounds}`;
  return table(
    [title, 'streams', 'MiB/s', 'CPU-s/GiB tunnel', 'CPU-s/GiB all processes'],
    bulk.map((row) => [
      row.name,
      String(row.streams),
      show(row.mebibytesPerSecond),
      show(row.cpuPerGib),
      show(row.cpuPerGibAll),
    ]),
  );
}

function latencyTable(
  what: string,
  latency: readonly LatencyRow[],
  { rounds, connectionsPerRound }: Pick<Report, 'rounds' | 'connectionsPerRound'>,
): string {
  const title = `${what}, ms, median of ${rounds}`;
  const opened = `new connection (${connectionsPerRound} a round) p50`;
  return table(
    [title, '1-byte round trip p50', 'p99', opened, 'p99', 'CPU ms each', 'TCP_NODELAY'],
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

function killTable({ kills }: Report): string {
  if (kills === null) return '';
  return table(
    ['(c) SIGKILL of a serving instance, Sallyport, whole programs', ''],
    [
      ['kills', String(kills.trials)],
      ['kill to first byte through another, p50 ms', show(kills.p50Ms)],
      ['p99 ms', show(kills.p99Ms)],
      ['max ms', show(kills.maxMs)],
      ['connections opened after the kills', String(kills.connections)],
      ['failed beyond the streams of the dead instance', String(kills.failures)],
      ['streams of the dead instance, ended with a reset', `${kills.lostByReset} of ${kills.lost}`],
      ['CPU-s of all processes, starts of the replacements included', show(kills.cpuAll)],
      ['CPU-s of router and pam', show(kills.cpuRouterAndPam)],
    ],
  );
}

function failoverTable({ failover }: Report): string {
  return table(
    [
      '(d) from the fault to the first byte through another',
      'trials',
      'p50 ms',
      'p99 ms',
      'max ms',
      'connections',
      'failed',
    ],
    failover.map((row) => [
      row.kind,
      String(row.trials),
      ...[row.p50Ms, row.p99Ms, row.maxMs].map(show),
      String(row.connections),
      String(row.failures),
    ]),
  );
}

function restartTable({ restarts }: Report): string {
  if (restarts === null) return '';
  const { streams, ended, ran, wrong } = restarts;
  return table(
    [`(e) kill -9 of the router and a new one, ${streams} streams that run`, ''],
    [
      ['restarts', String(restarts.restarts)],
      ['new router ready, p50 ms', show(restarts.readyP50Ms)],
      ['stall of a stream that lived, p50 ms', show(restarts.stallP50Ms)],
      ['p99 ms', show(restarts.stallP99Ms)],
      ['max ms', show(restarts.stallMaxMs)],
      ['streams that ended', `${ended} of ${ran}`],
      ['streams with a wrong byte', String(wrong)],
    ],
  );
}

function drainTable({ drain }: Report): string {
  if (drain === null) return '';
  return table(
    [`(g) SIGTERM to an instance with ${drain.streams} streams`, ''],
    [
      ['last stream ended by itself after, s', show(drain.lastStreamMs / 1_000)],
      ['process gone after, s', show(drain.exitMs / 1_000)],
      ['exit code', String(drain.exitCode)],
      ['streams cut or with a wrong byte', String(drain.cut)],
      ['new connections meanwhile', String(drain.connections)],
      ['of these failed', String(drain.failures)],
      ['first byte of these, p99 ms', show(drain.firstByteP99Ms)],
    ],
  );
}

function linkTable({ links }: Report): string {
  return table(
    [
      '(h) control links',
      'all joined after, s',
      'CPU-s of router and relay for it',
      'CPU-s of the instances',
      'router memory, MiB',
      'relay memory, MiB',
      'CPU of both, idle, % of a core',
      'all back after kill -9, s',
      'CPU-s of both for it',
      'CPU-s of the instances',
      'links lost while idle',
    ],
    links.map((row) => [
      String(row.links),
      show(row.joinedSeconds),
      show(row.joinCpuSeconds),
      show(row.instancesJoinCpuSeconds),
      show(row.routerMebibytes),
      show(row.relayMebibytes),
      show(row.idleCpuPercent),
      show(row.backSeconds),
      show(row.backCpuSeconds),
      show(row.instancesBackCpuSeconds),
      String(row.lostIdle),
    ]),
  );
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return '';
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |\n`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('');
}
