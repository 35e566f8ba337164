import Table from 'cli-table3';
import type { Terminal } from './terminal.ts';
import { plain } from './terminal.ts';

export type Format = 'table' | 'json';

/** One JSON document on standard output, indented by two, ending with a line feed. */
export function showJson(terminal: Terminal, value: unknown): void {
  terminal.out(`${JSON.stringify(value, null, 2)}\n`);
}

/**
 * A table without lines: a head in capitals and columns two spaces apart, so that it can be read by people and by
 * `awk`. Control characters in cells are replaced.
 *
 * @param rows - each as long as `head`; empty cells print as nothing.
 */
export function showTable(
  terminal: Terminal,
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): void {
  terminal.out(tableText(head, rows));
}

/** Text of {@link showTable}. */
export function tableText(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const table = new Table({
    head: head.map((name) => name.toUpperCase()),
    chars: { ...noLines, middle: '  ' },
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [], compact: true },
  });
  for (const row of rows) table.push(row.map((cell) => plain(String(cell)).replaceAll(/[\t\n]/g, ' ')));
  return table
    .toString()
    .split('\n')
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

const noLines = {
  ...{
    top: '',
    'top-mid': '',
    'top-left': '',
    'top-right': '',
    mid: '',
    'mid-mid': '',
    'left-mid': '',
    'right-mid': '',
  },
  ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '', left: '', right: '' },
};

/** `2026-11-23 14:02:11Z`: one form of time in every table. */
export function timeCell(ms: number | null): string {
  return ms === null ? '' : `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')}Z`;
}

/** ISO 8601 in UTC with milliseconds, as every JSON output carries it. */
export function isoTime(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

/** `3 s`, `5 min`, `2 h`, `4 d`: the largest unit that fits. */
export function ageText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** `17 B`, `1.4 KiB`, `3.0 GiB`. */
export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit++;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(1)} ${units[unit]}`;
}
