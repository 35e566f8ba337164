import { z } from 'zod';
import type { Cli, Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { readWhole } from '../gateway/gateway-flags.ts';
import { withProgress } from '../terminal/progress.ts';
import { showJson, showTable } from '../terminal/show.ts';
import { findItem } from '../vault/find-item.ts';
import { openVaultSession, type VaultSession } from '../vault/open-session.ts';
import { mapAtOnce } from './at-once.ts';
import { chosenUsers } from './rotated-record.ts';
import { jobJson } from './show-job.ts';
import { type Ordered, orderJobs } from './start-job.ts';
import { exitOfJob, jobLine, watchJob } from './watch-job.ts';

const flagsSchema = z.object({
  record: z.string().optional(),
  filter: z.string().max(256).optional(),
  dryRun: z.boolean().default(false),
  all: z.boolean().default(false),
  wait: z.boolean().default(false),
  timeout: z.string().default('900'),
});

/** Jobs that are waited for at the same time. */
const watchedAtOnce = 8;

/**
 * `pam action rotate`, `check`, `after` and `retire`: orders a job for each chosen record. One record's refusal is the command's error; of
 * several, each has its row and the exit code is the worst.
 */
export const runJobs =
  (act: 'rotate' | 'check' | 'after' | 'retire'): Run =>
  async (cli, _args, rawFlags) => {
    const flags = readFlags(flagsSchema, rawFlags);
    const timeoutMs = readWhole('--timeout', flags.timeout, 1, 86_400) * 1_000;
    const session = await openVaultSession(cli);
    try {
      const users = await chosenUsers(session, flags, (text) => findItem(session.vault, 'record', text, ['pamUser']));
      const kind = flags.dryRun ? 'rehearse' : act;
      const ordered = await withProgress(cli, `ordering ${users.length} jobs`, async () =>
        orderJobs(cli, session, users, kind, flags.all ? 'all' : undefined),
      );
      const [only] = ordered;
      if (ordered.length === 1 && only?.error) throw only.error;
      const ended = flags.wait ? await watchAll(cli, session, ordered, timeoutMs) : ordered;
      show(cli, ended, flags.filter !== undefined);
      if (!flags.wait) hint(cli, ended);
      return worst(ended, flags.wait);
    } finally {
      session.close();
    }
  };

async function watchAll(
  cli: Cli,
  session: VaultSession,
  ordered: readonly Ordered[],
  timeoutMs: number,
): Promise<readonly Ordered[]> {
  return mapAtOnce(ordered, watchedAtOnce, async (one) =>
    one.job === null ? one : { ...one, job: await watchJob(cli, session, one.job, one.user.title, timeoutMs) },
  );
}

function show(cli: Cli, ordered: readonly Ordered[], asList: boolean): void {
  const rows = ordered.map(({ user, job, error }) =>
    job === null
      ? { record_uid: user.uid, record_name: user.title, job_id: null, code: error?.code, error: error?.message }
      : jobJson(job, user.title),
  );
  if (cli.format === 'json') {
    showJson(cli.terminal, asList ? { jobs: rows } : rows[0]);
    return;
  }
  showTable(
    cli.terminal,
    ['record', 'job', 'state'],
    ordered.map(({ user, job, error }) => [
      user.title,
      job?.job ?? '',
      job === null ? `${error?.code ?? ''} ${error?.message ?? ''}` : jobLine(job),
    ]),
  );
}

function hint(cli: Cli, ordered: readonly Ordered[]): void {
  const first = ordered.find(({ job }) => job !== null)?.job;
  if (first !== null && first !== undefined && cli.format !== 'json') {
    cli.terminal.err(`Ordered. See how it goes with: pam action job-info ${first.job} --wait\n`);
  }
}

/** The worst of all: refused or failed before attention before still going. */
function worst(ordered: readonly Ordered[], waited: boolean): number | undefined {
  const codes = ordered.map(({ job }) => (job === null ? 1 : waited ? (exitOfJob(job) ?? 0) : 0));
  const [code] = [1, 4, 75].filter((one) => codes.includes(one));
  return code;
}
