import { listJobs } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { jobJson } from '../rotation/show-job.ts';
import { jobLine } from '../rotation/watch-job.ts';
import { showJson, showTable, timeCell } from '../terminal/show.ts';
import { findItem } from '../vault/find-item.ts';
import { openVaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({ record: z.string() });

/** `pam rotation history -r RECORD`: its 200 newest runs; missed and late ones too. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  try {
    const user = await findItem(session.vault, 'record', flags.record, ['pamUser']);
    const { jobs } = await session.client.call(listJobs, { query: { record: user.uid } });
    const { persons } = session.log.state();
    if (cli.format === 'json') {
      showJson(cli.terminal, {
        record_uid: user.uid,
        record_name: user.title,
        jobs: jobs.map((job) => jobJson(job, user.title)),
      });
    } else if (jobs.length === 0) cli.terminal.err(`“${user.title}” was never rotated.\n`);
    else {
      showTable(
        cli.terminal,
        ['job', 'kind', 'ordered by', 'created', 'took', 'writes', 'instances', 'state'],
        jobs.map((job) => [
          job.job,
          job.kind,
          job.person === null ? 'schedule' : (persons.get(job.person)?.name ?? job.person),
          timeCell(job.createdAtMs),
          job.endedAtMs === null || job.startedAtMs === null
            ? ''
            : `${((job.endedAtMs - job.startedAtMs) / 1_000).toFixed(1)} s`,
          job.sends,
          job.instances.map((id) => id.slice(0, 6)).join(' '),
          jobLine(job),
        ]),
      );
    }
    return undefined;
  } finally {
    session.close();
  }
};
