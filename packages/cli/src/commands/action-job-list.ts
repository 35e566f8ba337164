import { type JobView, listJobs } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { readWhole } from '../gateway/gateway-flags.ts';
import { jobJson } from '../rotation/show-job.ts';
import { jobLine } from '../rotation/watch-job.ts';
import { showJson, showTable, timeCell } from '../terminal/show.ts';
import { findItem } from '../vault/find-item.ts';
import { openVaultSession, type VaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({
  record: z.string().optional(),
  state: z.enum(['open', 'ended', 'attention', 'all']).default('all'),
  limit: z.string().default('50'),
});

/** `pam action job-list`: jobs, newest first. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const limit = readWhole('--limit', flags.limit, 1, 1_000);
  const session = await openVaultSession(cli);
  try {
    const record =
      flags.record === undefined ? undefined : await findItem(session.vault, 'record', flags.record, ['pamUser']);
    const jobs = await newestJobs(session, { state: flags.state, record: record?.uid }, limit);
    const { items } = await session.vault.items(['pamUser']);
    const titleOf = (uid: string): string => items.find((item) => item.uid === uid)?.title ?? uid;
    if (cli.format === 'json') {
      showJson(cli.terminal, { jobs: jobs.map((job) => jobJson(job, titleOf(job.record))) });
    } else if (jobs.length === 0) cli.terminal.err('No job: pam action rotate -r RECORD orders one.\n');
    else {
      showTable(
        cli.terminal,
        ['job', 'record', 'kind', 'created', 'ended', 'state'],
        jobs.map((job) => [
          job.job,
          titleOf(job.record),
          job.kind,
          timeCell(job.createdAtMs),
          timeCell(job.endedAtMs),
          jobLine(job),
        ]),
      );
    }
    return undefined;
  } finally {
    session.close();
  }
};

async function newestJobs(
  session: VaultSession,
  wanted: { readonly state: z.infer<typeof flagsSchema>['state']; readonly record: JobView['record'] | undefined },
  limit: number,
): Promise<readonly JobView[]> {
  const found: JobView[] = [];
  const { state, record } = wanted;
  for (;;) {
    const last = found.at(-1);
    const before = last === undefined ? {} : { before: `${last.createdAtMs}.${last.job}` };
    const query = { state, ...(record === undefined ? {} : { record }), ...before };
    const page = await session.client.call(listJobs, { query });
    found.push(...page.jobs);
    if (!page.more || page.jobs.length === 0 || found.length >= limit) return found.slice(0, limit);
  }
}
