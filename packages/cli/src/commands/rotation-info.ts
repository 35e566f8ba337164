import { readRotation } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { readWhole } from '../gateway/gateway-flags.ts';
import { leftoverText, retireWith } from '../rotation/leftover-text.ts';
import { jobJson } from '../rotation/show-job.ts';
import { nextRunsOf, settingsJson } from '../rotation/show-settings.ts';
import { jobLine, troubleRemedy, troubleText, whyText } from '../rotation/watch-job.ts';
import { isoTime, showJson, showTable, timeCell } from '../terminal/show.ts';
import { findItem } from '../vault/find-item.ts';
import { openVaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({ record: z.string(), runs: z.string().default('5') });

/** `pam rotation info -r RECORD`: settings, next runs, what the store knows of the account, and what to do about it. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const runs = readWhole('--runs', flags.runs, 0, 50);
  const session = await openVaultSession(cli);
  try {
    const user = await findItem(session.vault, 'record', flags.record, ['pamUser']);
    const known = await session.client.call(readRotation, { params: { uid: user.uid } });
    const { account, versions, nextDueMs, lastJob, trouble } = known;
    const nowMs = cli.clock.nowMs();
    const resolve = `pam rotation resolve -r ${user.uid}`;
    const attention = account?.attention ?? null;
    const leftover = account?.leftover ?? null;
    if (cli.format === 'json') {
      showJson(cli.terminal, {
        ...settingsJson(user, nowMs, runs),
        next_due_on: isoTime(nextDueMs),
        account:
          account === null
            ? null
            : {
                epoch: account.epoch,
                send: account.send,
                current_version: account.current,
                versions: versions.map(({ n, state, rev, atMs, job }) => ({
                  n,
                  state,
                  rev,
                  at: isoTime(atMs),
                  job_id: job,
                })),
                open_job_id: account.job,
                refused_logins_left: account.budget,
                next_login_on: isoTime(account.budgetAtMs),
                leftover:
                  leftover === null ? null : { tries: leftover.tries, next_try_on: isoTime(leftover.nextTryMs) },
              },
        attention,
        trouble,
        trouble_text: trouble === null ? null : troubleText(trouble),
        attention_text: attention === null ? null : whyText(attention),
        resolve_with: attention === null ? null : resolve,
        retire_with: leftover === null ? null : retireWith(user.uid),
        last_job: lastJob === null ? null : jobJson(lastJob, user.title),
      });
      return undefined;
    }
    const settings = user.facts.rotation;
    const json = settingsJson(user, nowMs, 0) as { readonly rotation: Readonly<Record<string, unknown>> | null };
    const rows: [string, string][] = [
      ['record', `${user.title} (${user.uid})`],
      ['login', user.facts.login],
      ...Object.entries(json.rotation ?? { rotation: 'none: pam rotation edit sets one up' }).flatMap(
        ([name, value]): [string, string][] => {
          if (value === null || (Array.isArray(value) && value.length === 0) || name === 'schedule') return [];
          return [[name.replaceAll('_', ' '), typeof value === 'string' ? value : JSON.stringify(value)]];
        },
      ),
    ];
    if (settings !== undefined) {
      for (const at of nextRunsOf(settings, nowMs, runs)) rows.push(['next run', timeCell(at)]);
      if (nextDueMs !== null) rows.push(['next run, with jitter', timeCell(nextDueMs)]);
    }
    if (account !== null) {
      rows.push(['version in the vault', account.current === null ? '' : String(account.current)]);
      rows.push(['versions kept', String(versions.length)]);
      rows.push(['writes so far', String(account.send)]);
      const more = account.budgetAtMs === null ? '' : `, one more at ${timeCell(account.budgetAtMs)}`;
      rows.push(['refused logins left', `${account.budget}${more}`]);
    }
    if (lastJob !== null) rows.push(['last run', `${lastJob.job}: ${jobLine(lastJob)}`]);
    if (trouble !== null) rows.push(['trouble', `${troubleText(trouble)}: ${troubleRemedy(trouble, user.uid)}`]);
    showTable(cli.terminal, ['field', 'value'], rows);
    if (leftover !== null) {
      cli.terminal.err(`\nWARNING: ${leftoverText(leftover)}.\nTry now: ${retireWith(user.uid)}\n`);
    }
    if (attention !== null) {
      cli.terminal.err(`\nNEEDS ATTENTION: ${whyText(attention)}.\nSee what is known, then decide: ${resolve}\n`);
    }
    return undefined;
  } finally {
    session.close();
  }
};
