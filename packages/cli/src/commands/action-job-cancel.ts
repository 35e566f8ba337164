import { cancelJob } from '@sallyport/protocol';
import type { Run } from '../cli.ts';
import { argument } from '../flags.ts';
import { readJobId } from '../rotation/job-id.ts';
import { jobJson } from '../rotation/show-job.ts';
import { hasEnded, jobLine } from '../rotation/watch-job.ts';
import { showJson } from '../terminal/show.ts';
import { openVaultSession } from '../vault/open-session.ts';

/** `pam action job-cancel JOB`: ends it before its first write; afterwards it finishes what it began. */
export const run: Run = async (cli, args) => {
  const session = await openVaultSession(cli);
  try {
    const id = await readJobId(session, argument(args, 0));
    const { job } = await session.chain.call(cancelJob, { params: { id }, body: {} }, [id]);
    if (cli.format === 'json') showJson(cli.terminal, jobJson(job, (await session.vault.item(job.record)).title));
    else if (hasEnded(job)) cli.terminal.err(`Job ${id}: ${jobLine(job)}\n`);
    else cli.terminal.err(`Job ${id} has written to the target: it finishes what it began, then stops.\n`);
    return undefined;
  } finally {
    session.close();
  }
};
