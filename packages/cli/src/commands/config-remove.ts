import { PamError, recordTypes, removeItem } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { argument, readFlags } from '../flags.ts';
import { confirmRemoval } from '../terminal/confirm.ts';
import { openVaultSession } from '../vault/open-session.ts';
import { resolveName } from '../vault/resolve.ts';

const flagsSchema = z.object({ yes: z.boolean().default(false) });

/** `pam config remove CONFIG`: PAM_IN_USE with the titles of the records that use it. */
export const run: Run = async (cli, args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  const items = await session.vault.allItems(['pamNetworkConfiguration', ...recordTypes]);
  const configuration = resolveName(
    'PAM configuration',
    argument(args, 0),
    items.filter((one) => one.type === 'pamNetworkConfiguration'),
  );
  const users = items.filter((one) => 'configuration' in one.facts && one.facts.configuration === configuration.uid);
  if (users.length > 0) {
    throw new PamError(
      'PAM_IN_USE',
      `“${configuration.title}” is used by ${users.length} records: ${users.map((one) => `“${one.title}” (${one.uid})`).join(', ')}`,
      {
        detail: { dependants: users.map((one) => one.uid).join(' ') },
      },
    );
  }
  await confirmRemoval(cli, `Remove PAM configuration “${configuration.title}” (${configuration.uid})`, flags.yes);
  await session.chain.call(removeItem, { params: { uid: configuration.uid }, body: {} }, [configuration.uid]);
  session.close();
  cli.terminal.err(`PAM configuration “${configuration.title}” is removed.\n`);
  return undefined;
};
