import { removeApplication } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { argument, readFlags } from '../flags.ts';
import { confirmRemoval } from '../terminal/confirm.ts';
import { openVaultSession } from '../vault/open-session.ts';
import { resolveName } from '../vault/resolve.ts';

const flagsSchema = z.object({ yes: z.boolean().default(false) });

/**
 * `pam app remove NAME`, by its UID also one that only the trust log still names, after a restore: PAM_IN_USE with a list while
 * gateways or records depend on it.
 */
export const run: Run = async (cli, args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  const named = await session.vault.applications();
  const inLog = session.log.state().apps.get(argument(args, 0));
  const isLost = inLog?.removed === false && !named.some((one) => one.app === inLog.uid);
  const application = isLost
    ? { uid: inLog.uid, app: inLog.uid, title: inLog.uid }
    : resolveName('application', argument(args, 0), named);
  await confirmRemoval(cli, `Remove application “${application.title}” (${application.uid}) and its keys`, flags.yes);
  await session.log.append([{ kind: 'app-removed', app: application.app }], session.device.key, async ([entry = '']) =>
    session.chain.call(removeApplication, { params: { uid: application.uid }, body: { entry } }, [application.uid]),
  );
  session.close();
  cli.terminal.err(`Application “${application.title}” is removed.\n`);
  return undefined;
};
