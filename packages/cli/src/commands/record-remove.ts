import { recordTypes, removeItem } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { argument, readFlags } from '../flags.ts';
import { confirmRemoval } from '../terminal/confirm.ts';
import { findItem } from '../vault/find-item.ts';
import { openVaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({ yes: z.boolean().default(false) });

/** `pam record remove RECORD`: PAM_IN_USE with a list while other records link to it. */
export const run: Run = async (cli, args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  const record = await findItem(session.vault, 'record', argument(args, 0), recordTypes);
  await confirmRemoval(cli, `Remove ${record.type} “${record.title}” (${record.uid}) and its history`, flags.yes);
  await session.chain.call(removeItem, { params: { uid: record.uid }, body: {} }, [record.uid]);
  session.close();
  cli.terminal.err(`${record.type} “${record.title}” is removed.\n`);
  return undefined;
};
