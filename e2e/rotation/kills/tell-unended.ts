import { readFileSync } from 'node:fs';
import type { JobView } from '@sallyport/protocol';
import type { Instance } from '../../harness/instance.ts';
import type { LogLine } from '../../harness/log-lines.ts';
import type { ListeningProcess } from '../listening-process.ts';
import type { RotatingPool } from '../rotating-pool.ts';

const linesOfEach = 25;

/** What can be known, line by line, of a job that did not end in time: its own story, the logs, the processes. */
export async function tellUnended(
  { installation, instances }: Pick<RotatingPool, 'installation' | 'instances'>,
  target: ListeningProcess,
  { job, createdAtMs }: JobView,
): Promise<readonly string[]> {
  const { stdout, stderr } = await installation.pam(['action', 'job-info', job], { code: null });
  const { router } = installation;
  return [
    ...`${stdout}${stderr}`.trim().split('\n'),
    `router ${showProcess(router.child.pid)}`,
    `target listening: ${target.listeners().join(', ') || 'nobody'}; ${target.pids().map(showProcess).join(', ')}`,
    ...instances().flatMap((instance) => tellInstance(instance, job, createdAtMs)),
  ];
}

function tellInstance({ child, stateDir, log }: Instance, job: string, sinceMs: number): readonly string[] {
  const isOfJob = (line: LogLine): boolean => line['job'] === job || Date.parse(String(line['time'])) >= sinceMs;
  const lines = log()
    .filter(isOfJob)
    .slice(-linesOfEach)
    .map((line) => `  ${JSON.stringify(line)}`);
  return [`instance ${stateDir.split('-').at(-1)} ${showProcess(child.pid)}`, ...lines];
}

/** Pid and the kernel's letter for what it does: R and S run, T is frozen, Z and - are dead. */
function showProcess(pid: number): string {
  try {
    return `${pid} (${/^\d+ \(.*\) (\w)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1] ?? '?'})`;
  } catch {
    // It ended: that is the answer.
    return `${pid} (-)`;
  }
}
