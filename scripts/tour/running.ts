import { readFileSync } from 'node:fs';

interface Stat {
  readonly parent: number;
  readonly ticks: string;
}

function readStat(pid: number): Stat | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The name, in brackets, may hold anything: what follows the last bracket is state, ppid, … starttime.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const isDead = fields[0] === 'Z' || fields[0] === 'X';
  return isDead ? undefined : { parent: Number(fields[1]), ticks: fields[19] ?? '' };
}

/** Start time of a process in clock ticks since boot: tells a process from a later one with its pid. Undefined: gone. */
export function startTicks(pid: number): string | undefined {
  return readStat(pid)?.ticks;
}

/** The processes that stand between this one and the `npm` that started it, npm included; empty without npm. */
function npmAncestors(): readonly number[] {
  const chain: number[] = [];
  for (let pid = process.ppid; pid > 1 && chain.length < 4; pid = readStat(pid)?.parent ?? 0) {
    chain.push(pid);
    if (/^npm(?:\s|$)/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '))) return chain;
  }
  return [];
}

/** Calls `gone` once when the npm that started this process ends, however it ends. npm itself tells nobody. */
export function whenNpmEnds(gone: () => void): void {
  const chain = npmAncestors().map((pid) => ({ pid, ticks: startTicks(pid) }));
  if (chain.length === 0) return;
  const timer = setInterval(() => {
    if (chain.every(({ pid, ticks }) => startTicks(pid) === ticks)) return;
    clearInterval(timer);
    gone();
  }, 500);
  timer.unref();
}
