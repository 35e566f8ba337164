import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

/**
 * When a process started, as text that another process with the same number cannot have: boot and start tick on Linux,
 * the start time of `ps` elsewhere. Null when there is no such process.
 */
export async function processStart(pid: number): Promise<string | null> {
  if (process.platform === 'linux') {
    const stat = await readOrNull(`/proc/${pid}/stat`);
    if (stat === null) return null;
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z') return null;
    const boot = (await readOrNull('/proc/sys/kernel/random/boot_id'))?.trim() ?? '';
    return `${boot}:${fields[19] ?? ''}`;
  }
  try {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'lstart=', '-p', String(pid)], { timeout: 5_000 });
    return stdout.trim() === '' ? null : stdout.trim();
  } catch (reason) {
    if (reason instanceof Error) return null;
    throw reason;
  }
}

/** Whether the process `pid` is the one that started then. */
export async function isSameProcess(pid: number, start: string): Promise<boolean> {
  return (await processStart(pid)) === start;
}

async function readOrNull(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (reason) {
    if (reason instanceof Error) return null;
    throw reason;
  }
}
