/** Prints a Markdown table with aligned columns. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |\n`;
  process.stdout.write(`\n${line(head)}${line(widths.map((width) => '-'.repeat(width)))}`);
  for (const row of rows) process.stdout.write(line(row));
}
