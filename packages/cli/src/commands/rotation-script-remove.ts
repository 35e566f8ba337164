import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { findHolder, namedScript, scriptsOf, writeScripts } from '../rotation/script-holder.ts';
import { showJson } from '../terminal/show.ts';
import { openVaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({ record: z.string(), name: z.string() });

/** `pam rotation script-remove`: earlier revisions of the record still show it. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  try {
    const holder = await findHolder(session, flags.record);
    const { name } = namedScript(holder, flags.name);
    await writeScripts(
      session,
      holder,
      scriptsOf(holder).filter((one) => one.name !== name),
    );
    if (cli.format === 'json') showJson(cli.terminal, { on_uid: holder.uid, name, removed: true });
    else cli.terminal.err(`“${name}” is removed.\n`);
    return undefined;
  } finally {
    session.close();
  }
};
