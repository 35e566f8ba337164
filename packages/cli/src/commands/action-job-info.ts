import { getJob } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { argument, readFlags } from '../flags.ts';
import { readWhole } from '../gateway/gateway-flags.ts';
import { afterRows, isAllDone } from '../rotation/after-text.ts';
import { readJobId } from '../rotation/job-id.ts';
import { noteLines } from '../rotation/note-text.ts';
import { openNotes } from '../rotation/open-notes.ts';
import { jobJson } from '../rotation/show-job.ts';
import { exitOfJob, hasEnded, jobLine, watchJob } from '../rotation/watch-job.ts';
import { isoTime, showJson, showTable, timeCell } from '../terminal/show.ts';
import { openVaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({ wait: z.boolean().default(false), timeout: z.string().default('900') });

/** `pam action job-info JOB`: everything that is known of a job; with `--wait` its end, and an exit code that says how. */
export const run: Run = async (cli, args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const timeoutMs = readWhole('--timeout', flags.timeout, 1, 86_400) * 1_000;
  const session = await openVaultSession(cli);
  try {
    const id = await readJobId(session, argument(args, 0));
    const first = await session.client.call(getJob, { params: { id } });
    const item = await session.vault.item(first.job.record);
    if (flags.wait) await watchJob(cli, session, first.job, item.title, timeoutMs);
    const { job, entries, notes } = flags.wait ? await session.client.call(getJob, { params: { id } }) : first;
    const opened = await openNotes(session, item.app, id, notes);
    const code = flags.wait ? exitOfJob(job) : undefined;
    if (cli.format === 'json') {
      showJson(cli.terminal, {
        ...jobJson(job, item.title),
        entries: entries.map(({ atMs, instance, step, what }) => ({
          at: isoTime(atMs),
          instance_id: instance,
          step,
          what,
        })),
        notes: opened,
      });
      return code;
    }
    cli.terminal.out(`${item.title} · ${job.kind} ${job.job}\n${jobLine(job)}\n\n`);
    showTable(
      cli.terminal,
      ['at', 'instance', 'step', 'what'],
      entries.map(({ atMs, instance, step, what }) => [timeCell(atMs), instance?.slice(0, 6) ?? '', step, what]),
    );
    const after = afterRows(opened);
    if (after.length > 0) {
      cli.terminal.out('\n');
      showTable(cli.terminal, ['after', 'name', 'on', 'ended'], after);
    }
    if (hasEnded(job) && !isAllDone(job.after)) {
      cli.terminal.out(`\nWhat did not end well is run again with: pam action after -r ${job.record}\n`);
    }
    const told = opened.flatMap(noteLines);
    if (told.length > 0) cli.terminal.out(`\nTOLD BY THE INSTANCES\n${told.join('\n')}\n`);
    return code;
  } finally {
    session.close();
  }
};
