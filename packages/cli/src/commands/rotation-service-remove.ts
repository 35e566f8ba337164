import { PamError } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { findServed, writeServices } from '../rotation/service-holder.ts';
import { showJson } from '../terminal/show.ts';
import { openVaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({ record: z.string(), name: z.string() });

/** `pam rotation service-remove`: the machine keeps its file; earlier revisions of the record still show the service. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  try {
    const { user, services } = await findServed(session, flags.record);
    const rest = services.filter((one) => one.name !== flags.name);
    if (rest.length === services.length) {
      throw new PamError('PAM_NOT_FOUND', `“${user.title}” has no service “${flags.name}”`, {
        remedy: `See pam rotation service-list -r ${user.uid}.`,
      });
    }
    await writeServices(session, user, rest);
    if (cli.format === 'json') showJson(cli.terminal, { on_uid: user.uid, name: flags.name, removed: true });
    else cli.terminal.err(`“${flags.name}” is removed.\n`);
    return undefined;
  } finally {
    session.close();
  }
};
