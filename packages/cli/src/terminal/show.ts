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
  const lines = [head.map((name) => name.toUpperCase()), ...rows.map((row) => row.map((cell) => cellText(cell)))];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => textWidth(line[column] ?? ''))));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - textWidth(cell)))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

function cellText(cell: string | number): string {
  return plain(String(cell)).replaceAll(/[\t\n]/g, ' ');
}

/** Code points, wide East Asian ones counted twice. */
function textWidth(text: string): number {
  let width = 0;
  for (const char of text)
    width += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]/u.test(char) ? 2 : 1;
  return width;
}

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
