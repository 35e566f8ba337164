import { PamError } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { argument, readFlags } from '../flags.ts';
import { showJson } from '../terminal/show.ts';
import { openVaultSession } from '../vault/open-session.ts';
import { pickApplication } from '../vault/pick-application.ts';
import { inputFromFlags, readRecordType, recordFlagsSchema } from '../vault/record-flags.ts';
import { draftRecord } from '../vault/record-input.ts';
import { knownItems, saveRecord } from '../vault/save-record.ts';
import { recordJson } from '../vault/show-record.ts';
import { freshUid, type OpenedItem } from '../vault/vault.ts';

const flagsSchema = recordFlagsSchema.extend({ application: z.string().optional() });

/** `pam record new TYPE`. A host in a special range outside the configuration's networks is refused before anything is sent. */
export const run: Run = async (cli, args, rawFlags) => {
  const type = readRecordType(argument(args, 0));
  const flags = readFlags(flagsSchema, rawFlags);
  const input = await inputFromFlags(cli, type, flags);
  if (input.title === undefined)
    throw new PamError('PAM_USAGE', 'the record needs a title', { remedy: 'Give -n TITLE.' });
  const session = await openVaultSession(cli);
  const application = await pickApplication(session.vault, flags.application ?? input.application);
  const draft = draftRecord(type, input, await knownItems(session), null, application.app);
  const { record: written } = await saveRecord(session, null, freshUid(), application.app, draft);
  session.close();
  if (cli.format === 'json') {
    showJson(cli.terminal, recordJson(written as OpenedItem<typeof type>, [application], draft.secrets ?? null, false));
  } else {
    cli.terminal.out(`${written.uid}\n`);
    cli.terminal.err(`${type} “${written.title}” is made in “${application.title}”.\n`);
    if (type !== 'pamUser') cli.terminal.err(`Next: pam tunnel start ${written.uid}\n`);
  }
  return undefined;
};
