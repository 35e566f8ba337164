import { getJob, type ItemUid, type JobView, type JobWhy, type RotationTrouble } from '@sallyport/protocol';
import type { Cli } from '../cli.ts';
import { timeCell } from '../terminal/show.ts';
import { retireWith } from './leftover-text.ts';
import type { VaultSession } from '../vault/open-session.ts';
import { afterText, isAllDone } from './after-text.ts';

const lookEveryMs = 500;

/** Has it ended, as far as waiting for it goes? `attention` stays so until somebody decides. */
export const hasEnded = (job: JobView): boolean =>
  job.state === 'done' || job.state === 'failed' || job.state === 'cancelled' || job.state === 'attention';

/** 0 done, 4 needs attention, 1 failed or cancelled, 75 goes on. */
export function exitOfJob(job: JobView): number | undefined {
  if (job.state === 'done') return undefined;
  if (job.state === 'attention') return 4;
  return hasEnded(job) ? 1 : 75;
}

/** Asks until the job has ended, telling each change on standard error; answers it as it is when time is over. */
export async function watchJob(
  cli: Cli,
  session: VaultSession,
  first: JobView,
  title: string,
  timeoutMs: number,
): Promise<JobView> {
  const endsAt = cli.clock.monotonicMs() + timeoutMs;
  let job = first;
  let told = '';
  for (;;) {
    const line = jobLine(job);
    if (line !== told) cli.terminal.err(`${title}: ${line}\n`);
    told = line;
    if (hasEnded(job)) {
      if (job.why === 'not-retired') cli.terminal.err(`warning: ${title}: ${notRetired(job)}\n`);
      if (!isAllDone(job.after)) cli.terminal.err(`warning: ${title}: ${notAllDone(job)}\n`);
      return job;
    }
    if (cli.clock.monotonicMs() >= endsAt) {
      cli.terminal.err(`${title}: it goes on without us; see pam action job-info ${job.job}\n`);
      return job;
    }
    await cli.clock.sleep(lookEveryMs, cli.signal);
    job = (await session.client.call(getJob, { params: { id: job.job } })).job;
  }
}

/** The secret is in force all the same: the exit code speaks of that alone. */
const notAllDone = (job: JobView): string =>
  `not all that follows the rotation was done (${afterText(job.after)}); see pam action job-info ${job.job}, and run it again with pam action after -r ${job.record}`;

const notRetired = (job: JobView): string =>
  `an older credential still opens the account; it is tried again by itself, or now: ${retireWith(job.record)}`;

const steps: Readonly<Record<JobView['step'], string>> = {
  new: 'begins',
  intent: 'new secret sealed and stored',
  permitted: 'writes to the target',
  applied: 'target accepted, logging in with the new secret',
  verified: 'new secret opens the account',
  converged: 'replicas agree',
  promoted: 'recorded in the vault',
  done: 'done',
};

/** `running on 3f2a…: writes to the target`, in one line. */
export function jobLine(job: JobView): string {
  const on = job.instance === null ? '' : ` on ${job.instance.slice(0, 6)}`;
  switch (job.state) {
    case 'queued':
      return job.why === 'none' ? 'queued' : `queued: ${whyText(job.why)}`;
    case 'running':
      return `running${on}: ${steps[job.step]}`;
    case 'waiting': {
      const until = job.notBeforeMs === null ? '' : ` until ${timeCell(job.notBeforeMs)}`;
      return `waiting${on}${until}: ${whyText(job.why)}`;
    }
    case 'done': {
      const after = afterText(job.after);
      return `${job.why === 'none' ? 'done' : `done: ${whyText(job.why)}`}${after === '' ? '' : `; ${after}`}`;
    }
    case 'failed':
      return `failed: ${whyText(job.why)}`;
    case 'cancelled':
      return 'cancelled; nothing was written to the target';
    case 'attention':
      return `needs attention: ${whyText(job.why)}`;
    default:
      return job.state satisfies never;
  }
}

const words: Readonly<Record<JobWhy, string>> = {
  none: '',
  'no-instance': 'no instance of the gateway is ready',
  'account-busy': 'another job has this account',
  'target-busy': 'another job has this server',
  budget: 'the budget of refused logins is spent, so that the account is not locked',
  unreachable: 'the target cannot be reached',
  locked: 'the account is locked at the target',
  expired: 'the account or its password has expired at the target',
  'unknown-answer': 'the target’s answer does not say',
  'store-away': 'the router’s store is away',
  settling: 'an earlier write may still land; waiting until it cannot',
  rotated: 'the new secret is in force, verified and recorded',
  'not-retired': 'the new secret is in force, verified and recorded; an older one still opens',
  retired: 'only the vault’s secret opens the account now; what earlier rotations left is removed',
  opens: 'the vault’s secret opens the account',
  rehearsed: 'everything a rotation needs is there; nothing was changed',
  'scripts-only': 'the scripts ran',
  'script-failed': 'a script failed, and nothing but scripts changes this account; see job-info',
  followed: 'everything that follows a rotation is done',
  'not-followed': 'not all that follows a rotation was done; see job-info',
  cancelled: 'cancelled',
  denied: 'the target refuses the change; nothing was changed',
  'policy-refused': 'the target’s policy refused every candidate; correct the complexity',
  precondition: 'something a rotation needs is missing; see job-info',
  'order-invalid': 'the order was refused by the instance',
  'order-spent': 'the order is too old, or the record moved on: order it again',
  'record-invalid': 'record, resource, configuration or credential do not fit together',
  'account-shared': 'another record manages the same account',
  'no-kind': 'no target kind serves this resource',
  'no-way-in': 'no known secret opens the account, and there is no administrative credential',
  superseded: 'a newer run took its place',
  missed: 'it was due while nothing could run',
  poison: 'it was begun three times and got no further',
  'record-edited': 'the record’s secret was edited meanwhile; both are kept',
  'nothing-opens': 'no known secret opens the account',
  'waited-too-long': 'it waited too often without an answer',
  drift: 'the vault’s secret does not open the account; another version does',
  'late-effect': 'a write went out later than it was permitted',
  restored: 'the store was restored from a backup after this account was rotated',
  internal: 'the instance met a state it does not expect; see its log',
};

/** A reason of the closed list in words. */
export const whyText = (why: JobWhy): string => words[why];

const troubles: Readonly<Record<RotationTrouble, string>> = {
  failed: 'the last rotation failed',
  missed: 'a scheduled rotation could not begin',
  late: 'a scheduled rotation is late',
  after: 'not all that follows the last rotation was done',
};

/** What is wrong with a record's rotation, in words. */
export const troubleText = (trouble: RotationTrouble): string => troubles[trouble];

/** The command that ends it. */
export const troubleRemedy = (trouble: RotationTrouble, record: ItemUid): string =>
  `pam action ${trouble === 'after' ? 'after' : 'rotate'} -r ${record}`;
