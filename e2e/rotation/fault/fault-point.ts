import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

/** Calls of a run between instance and router, in the order they are made; `report` is told apart by what it tells. */
export const calls = [
  'job.claim',
  'job.stage',
  'job.permit',
  'wrote',
  'job.login',
  'verified',
  'job.promote',
  'job.finish',
] as const;
export type Call = (typeof calls)[number];

/** What the instance that comes to this point does, once: sends the signals, in order; its own pid comes last. */
export interface FaultPoint {
  readonly call: Call;
  /** `before` the call goes out, or `after` its answer came and before anybody read it. */
  readonly side: 'before' | 'after';
  /** Jobs of earlier runs: what wakes late from one of them does not come to this point. */
  readonly except: readonly string[];
  /** Processes of others. */
  readonly signals: readonly { readonly pid: number; readonly signal: 'SIGKILL' | 'SIGSTOP' }[];
  /** Its own end, after those of others. */
  readonly self: 'SIGKILL' | 'SIGSTOP' | null;
}

/** Name of the variable that tells an instance where its point is written. */
export const pointVariable = 'SALLYPORT_TEST_FAULT_POINT';

/** Lays the point down; whoever takes it first has it. */
export function layPoint(file: string, point: FaultPoint): void {
  rmSync(`${file}.taken`, { force: true });
  writeFileSync(`${file}.new`, JSON.stringify(point));
  renameSync(`${file}.new`, file);
}

/** Takes back a point that nobody came to. */
export function liftPoint(file: string): void {
  rmSync(file, { force: true });
}

/** Pid of the instance that took the point; null: nobody yet. */
export function takenBy(file: string): number | null {
  const text = existsSync(`${file}.taken`) ? readFileSync(`${file}.taken`, 'utf8') : '';
  const pid = /"takenBy":(\d+)\}$/.exec(text)?.[1];
  return pid === undefined ? null : Number(pid);
}

/** Answers the point if it is this one, and makes it nobody else's. */
export function takePoint(
  file: string,
  { call, side, job, pid }: Pick<FaultPoint, 'call' | 'side'> & { readonly job: string; readonly pid: number },
): FaultPoint | null {
  if (!existsSync(file)) return null;
  const mine = `${file}.${pid}`;
  try {
    const point = JSON.parse(readFileSync(file, 'utf8')) as FaultPoint;
    if (point.call !== call || point.side !== side || point.except.includes(job)) return null;
    renameSync(file, mine);
    writeFileSync(mine, JSON.stringify({ ...point, takenBy: pid }));
    renameSync(mine, `${file}.taken`);
    return point;
  } catch (error) {
    // Another instance was faster.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}
