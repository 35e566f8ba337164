import { readFileSync } from 'node:fs';

/** Start time of a process in clock ticks since boot: tells a process from a later one with its pid. Undefined: gone. */
export function startTicks(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The name, in brackets, may hold anything: what follows the last bracket is state, ppid, … starttime.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const isDead = fields[0] === 'Z' || fields[0] === 'X';
  return isDead ? undefined : fields[19];
}
