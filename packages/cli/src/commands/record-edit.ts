import { PamError, recordTypes } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { argument, readFlags } from '../flags.ts';
import { showJson } from '../terminal/show.ts';
import { findItem } from '../vault/find-item.ts';
import { openVaultSession } from '../vault/open-session.ts';
import { inputFromFlags, recordFlagsSchema } from '../vault/record-flags.ts';
import { draftRecord, type RecordInput } from '../vault/record-input.ts';
import { resolveName } from '../vault/resolve.ts';
import { deadLinks, knownItems, saveRecord, unlinkCredentials } from '../vault/save-record.ts';
import { recordJson } from '../vault/show-record.ts';
import type { OpenedItem } from '../vault/vault.ts';

const flagsSchema = recordFlagsSchema.extend({ removeCredential: z.array(z.string().max(256)).max(64).optional() });

/** `pam record edit RECORD`: what is not named stays as it is, secrets too. `--credential` adds to the links there are. */
export const run: Run = async (cli, args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  if (Object.values(flags).every((value) => value === undefined || value === false)) {
    throw new PamError('PAM_USAGE', 'nothing to change: no flag was given');
  }
  const session = await openVaultSession(cli);
  const before = await findItem(session.vault, 'record', argument(args, 0), recordTypes);
  const known = await knownItems(session);
  const gone = (flags.removeCredential ?? []).map((name) => resolveName('pamUser', name, known.users));
  const input = withLinks(await inputFromFlags(cli, before.type, flags), before, gone);
  const secrets = input.secrets === undefined ? null : await session.vault.secrets(before);
  const draft = draftRecord(before.type, input, known, { app: before.app, facts: before.facts, secrets }, before.app);
  const named = draft.credentials.filter((user) => (flags.credential ?? []).some((one) => names(one, user)));
  const { record: written } = await saveRecord(session, before, before.uid, before.app, {
    ...draft,
    credentials: named,
  });
  await unlinkCredentials(session, before.uid, gone);
  const after = await knownItems(session);
  for (const user of deadLinks(before.uid, draft.facts, after)) {
    cli.terminal.err(
      `warning: “${user.title}” is linked but not signed for this endpoint; it works again after: pam record edit ${before.uid} --credential ${user.uid}\n`,
    );
  }
  const applications = await session.vault.applications();
  session.close();
  if (cli.format === 'json')
    showJson(cli.terminal, recordJson(written as OpenedItem<typeof before.type>, applications, null, false));
  else
    cli.terminal.err(
      `${before.type} “${written.title}” is changed (revision ${written.item.parts.facts?.rev ?? 0}).\n`,
    );
  return undefined;
};

/** The links there are, those of the flags on top, those to remove taken out; untouched when neither is asked. */
function withLinks(input: RecordInput, before: OpenedItem, gone: readonly OpenedItem<'pamUser'>[]): RecordInput {
  if (input.credentials === undefined && gone.length === 0) return input;
  const old = 'credentials' in before.facts ? before.facts.credentials : [];
  const kept = old.filter((link) => !gone.some((user) => user.uid === link.record));
  const added = input.credentials ?? [];
  const addedNames = added.map((link) =>
    typeof link === 'string' ? link.replace(/:(admin|launch)$/, '') : link.record,
  );
  return { ...input, credentials: [...kept.filter((link) => !addedNames.includes(link.record)), ...added] };
}

function names(link: string, user: OpenedItem<'pamUser'>): boolean {
  const name = link.replace(/:(admin|launch)$/, '');
  return name === user.uid || name === user.title;
}
