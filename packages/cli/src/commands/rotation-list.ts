import { readRotation } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { leftoverText } from '../rotation/leftover-text.ts';
import type { User } from '../rotation/rotated-record.ts';
import { scheduleText } from '../rotation/schedule-flags.ts';
import { jobJson } from '../rotation/show-job.ts';
import { nextRunsOf, scheduleOf, settingsJson } from '../rotation/show-settings.ts';
import { jobLine, troubleText, whyText } from '../rotation/watch-job.ts';
import { isoTime, showJson, showTable, timeCell } from '../terminal/show.ts';
import { openVaultSession, type VaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({ verbose: z.boolean().default(false) });

/** `pam rotation list`: every record with a rotation, by title; what needs attention says so. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  try {
    const { items, unreadable } = await session.vault.items(['pamUser']);
    const rows = await Promise.all(items.flatMap((user) => rowOf(session, user)));
    const nowMs = cli.clock.nowMs();
    if (cli.format === 'json') {
      showJson(cli.terminal, {
        records: rows.map(({ user, known: { account, lastJob, nextDueMs, trouble } }) => ({
          ...settingsJson(user, nowMs, 1),
          next_due_on: isoTime(nextDueMs),
          attention: account?.attention ?? null,
          leftover: account?.leftover !== null && account !== null,
          trouble,
          last_job: lastJob === null ? null : jobJson(lastJob, user.title),
        })),
        unreadable: unreadable.map(({ uid, error }) => ({ record_uid: uid, code: error.code, error: error.message })),
      });
      return undefined;
    }
    for (const { uid, error } of unreadable) cli.terminal.err(`warning: ${uid} cannot be believed: ${error.message}\n`);
    if (rows.length === 0) {
      cli.terminal.err('No record has a rotation: pam rotation edit -r RECORD --resource RESOURCE sets one up.\n');
      return undefined;
    }
    showTable(
      cli.terminal,
      ['record', 'schedule', 'next run', 'last run', 'state', ...(flags.verbose ? ['uid', 'by', 'kind'] : [])],
      rows.map(({ user, settings, known }) => [
        user.title,
        settings.enabled ? scheduleText(scheduleOf(settings)?.schedule ?? null) : 'switched off',
        timeCell(known.nextDueMs ?? nextRunsOf(settings, nowMs, 1)[0] ?? null),
        timeCell(known.lastJob?.endedAtMs ?? known.lastJob?.createdAtMs ?? null),
        known.account?.attention ? `needs attention: ${whyText(known.account.attention)}` : stateText(known),
        ...(flags.verbose ? [user.uid, settings.by, settings.kind] : []),
      ]),
    );
    return undefined;
  } finally {
    session.close();
  }
};

/** One row for a user with a rotation, none for others. */
function rowOf(session: VaultSession, user: User) {
  const settings = user.facts.rotation;
  if (settings === undefined) return [];
  return [
    session.client.call(readRotation, { params: { uid: user.uid } }).then((known) => ({ user, settings, known })),
  ];
}

type Known = Awaited<ReturnType<typeof rowOf>[number]>['known'];

/** What is wrong first, then how the last run went. */
function stateText({ account, trouble, lastJob }: Known): string {
  return [
    ...(account?.leftover ? [leftoverText(account.leftover)] : []),
    ...(trouble === null ? [] : [troubleText(trouble)]),
    ...(lastJob === null ? [] : [jobLine(lastJob)]),
  ].join(' · ');
}
