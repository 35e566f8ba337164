import { readdirSync, readFileSync } from 'node:fs';

/** CPU seconds (user + system) so far of these processes and all their descendants, from /proc/PID/stat. */
export function cpuSeconds(roots: readonly number[]): number {
  const table = new Map<number, { readonly parent: number; readonly ticks: number }>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const entry = readStat(Number(name));
    if (entry !== null) table.set(Number(name), entry);
  }
  let ticks = 0;
  for (const [pid, entry] of table) if (descends(pid, roots, table)) ticks += entry.ticks;
  return ticks / 100;
}

/** Own ticks and those of children that were waited for. */
function readStat(pid: number): { parent: number; ticks: number } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const ticks = [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at]), 0);
    return { parent: Number(fields[1]), ticks };
  } catch (reason) {
    const { code } = reason as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw reason;
  }
}

function descends(
  pid: number,
  roots: readonly number[],
  table: ReadonlyMap<number, { readonly parent: number }>,
): boolean {
  for (let at = pid; at > 1; at = table.get(at)?.parent ?? 0) if (roots.includes(at)) return true;
  return false;
}
