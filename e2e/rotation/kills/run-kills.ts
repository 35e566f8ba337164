import { setTimeout as pause } from 'node:timers/promises';
import type { JobId, JobView } from '@sallyport/protocol';
import type { Later } from '@sallyport/testkit';
import type { User } from '../../../packages/cli/src/rotation/rotated-record.ts';
import { hasEnded } from '../../../packages/cli/src/rotation/watch-job.ts';
import type { Instance } from '../../harness/instance.ts';
import { longMs, until } from '../../harness/until.ts';
import type { AccountLab } from '../accounts/account-lab.ts';
import { type FaultPoint, layPoint, liftPoint, takenBy } from '../fault/fault-point.ts';
import { type ListeningProcess, listeningProcess } from '../listening-process.ts';
import type { AccountState } from '../owner.ts';
import { type RotatingPool, startRotatingPool } from '../rotating-pool.ts';
import { type KillCase, showCase } from './cases.ts';
import { type RunEnd, whatDoesNotHold } from './check-end.ts';
import { tellUnended } from './tell-unended.ts';

export interface KillReport {
  readonly kind: string;
  readonly runs: number;
  /** Runs that came to their point; the rest ended before: a step that this kind does not have. */
  readonly hit: number;
  readonly done: number;
  readonly attention: number;
  readonly failed: number;
  /** One line for each thing that did not hold; a run that was not over in time is one. */
  readonly broken: readonly string[];
}

/** Longer than a lease of the pool: what is frozen wakes after its work went to another. */
const frozenMs = 8_000;

/** One rotation of a fresh account for each case, on a pool of three; everybody is back before the next. */
export async function runKills(
  later: Later,
  lab: AccountLab,
  cases: readonly KillCase[],
  say: (line: string) => void,
): Promise<KillReport> {
  const pool = await startRotatingPool(later, lab, 3);
  const target = listeningProcess(later, lab);
  const possible = cases.filter(
    ({ blows }) => lab.restarts || !blows.some(([victim, blow]) => victim === 'target' && blow === 'kill'),
  );
  const logins = possible.map((_, index) => `kill${index + 1}`);
  const users = await pool.newAccounts(logins);
  const count = { runs: 0, hit: 0, done: 0, attention: 0, failed: 0 };
  const broken: string[] = [];
  const earlier: JobId[] = [];
  for (const [index, one] of possible.entries()) {
    const user = users.get(logins[index] ?? '');
    if (user === undefined) throw new Error(`there is no account ${logins[index]}`);
    const startedMs = performance.now();
    const run = await runCase(pool, lab, target, user, one, earlier);
    earlier.push(run.job.job);
    count.runs += 1;
    if (run.isHit) count.hit += 1;
    if (run.job.state === 'done') count.done += 1;
    else if (run.job.state === 'attention') count.attention += 1;
    else if (hasEnded(run.job)) count.failed += 1;
    const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
    const end = `${run.job.state}, ${run.job.why}, ${run.job.instances.length} instances, ${run.job.sends} writes`;
    say(
      `${lab.kind} ${index + 1}/${possible.length} ${showCase(one)}: ${run.isHit ? end : `not reached; ${end}`} (${seconds} s)`,
    );
    for (const line of run.known) say(`  ${line}`);
    for (const what of run.broken) {
      say(`  BROKEN ${what}`);
      broken.push(`${lab.kind} ${showCase(one)}: ${what}`);
    }
  }
  return { kind: lab.kind, ...count, broken };
}

interface CaseEnd {
  readonly isHit: boolean;
  readonly job: JobView;
  readonly broken: readonly string[];
  /** What is known of a job that has not ended; else empty. */
  readonly known: readonly string[];
}

async function runCase(
  pool: RotatingPool,
  lab: AccountLab,
  target: ListeningProcess,
  user: User,
  one: KillCase,
  earlier: readonly JobId[],
): Promise<CaseEnd> {
  const { owner, pointFile } = pool;
  const before = await owner.state(user);
  layPoint(pointFile, { ...pointOf(pool, target, one), except: earlier });
  // The point may freeze the router while an answer is on its way: only what is done about the point lets that come.
  const ending = owner.order(user).then(({ job }) => owner.ended(job).catch(() => owner.job(job)));
  const isOver = ending.then(() => true);
  const point = until(
    `the point of ${showCase(one)}`,
    async () => {
      const taken = takenBy(pointFile);
      return taken !== null || (await Promise.race([isOver, pause(0, false)])) ? { taken } : null;
    },
    2 * longMs,
  );
  const { taken } = await point.finally(() => liftPoint(pointFile));
  if (taken !== null) await heal(pool, target, one, taken);
  const job = await ending;
  if (!hasEnded(job)) {
    const known = await tellUnended(pool, target, job);
    return { isHit: taken !== null, job, broken: [`K6 not over within ${longMs} ms: ${job.state}, ${job.why}`], known };
  }
  const state = await owner.state(user);
  const { login } = user.facts;
  const opening = await openingOf(lab, login, state);
  const vaultOpens = await lab.opens(login, state.secrets);
  const beside = await lookBeside(pool, lab, user, state, opening);
  const found = whatDoesNotHold({ job, before, state, opening, vaultOpens, beside });
  return { isHit: taken !== null, job, broken: found, known: [] };
}

/** Numbers of the versions that open the account. */
async function openingOf(lab: AccountLab, login: string, { versions }: AccountState): Promise<readonly number[]> {
  const opening: number[] = [];
  for (const { n, secrets } of versions) if (await lab.opens(login, secrets)) opening.push(n);
  return opening;
}

/** What kinds that put credentials beside each other have left at the server. */
async function lookBeside(
  { owner }: RotatingPool,
  lab: AccountLab,
  user: User,
  state: AccountState,
  opening: readonly number[],
): Promise<RunEnd['beside']> {
  const { beside } = lab;
  if (beside === undefined) return null;
  const { login } = user.facts;
  const known = [state.secrets, ...state.versions.map(({ secrets }) => secrets)].map((one) => beside.formOf(one));
  const unknown = (await beside.at(login)).filter((one) => !known.includes(one)).length;
  if (opening.length < 2 || state.attention !== null) return { unknown, openingAfterNext: null };
  await owner.ended((await owner.order(user)).job);
  return { unknown, openingAfterNext: (await openingOf(lab, login, await owner.state(user))).length };
}

function pointOf(
  pool: RotatingPool,
  target: ListeningProcess,
  { call, side, blows }: KillCase,
): Omit<FaultPoint, 'except'> {
  const signalOf = (blow: 'kill' | 'freeze') => (blow === 'kill' ? 'SIGKILL' : 'SIGSTOP');
  const self = blows.find(([victim]) => victim === 'instance');
  return {
    ...{ call, side },
    signals: blows.flatMap(([victim, blow]) => {
      if (victim === 'instance') return [];
      const pids = victim === 'router' ? [pool.installation.router.child.pid] : target.pids();
      return pids.map((pid) => ({ pid, signal: signalOf(blow) }) as const);
    }),
    self: self === undefined ? null : signalOf(self[1]),
  };
}

/** Starts again what was killed; lets go on what was frozen, after others may have taken its work. */
async function heal(pool: RotatingPool, target: ListeningProcess, { blows }: KillCase, pid: number): Promise<void> {
  const hasBlow = (victim: string, blow: string): boolean => blows.some(([one, how]) => one === victim && how === blow);
  const holder = (): Instance | undefined => pool.instances().find(({ child }) => child.pid === pid);
  if (hasBlow('target', 'kill')) await target.restart();
  if (hasBlow('router', 'kill')) await pool.installation.restartRouter('SIGKILL');
  if (hasBlow('instance', 'kill')) {
    const dead = holder();
    if (dead === undefined) throw new Error(`${pid} is no instance`);
    await dead.child.exited;
    await pool.replace(dead);
  }
  if (!blows.some(([, blow]) => blow === 'freeze')) return;
  await pause(frozenMs);
  if (hasBlow('router', 'freeze')) pool.installation.router.child.kill('SIGCONT');
  if (hasBlow('target', 'freeze')) target.thaw();
  if (hasBlow('instance', 'freeze')) holder()?.child.kill('SIGCONT');
}
