import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { findHolder, namedScript, scriptJson, scriptsOf, writeScripts } from '../rotation/script-holder.ts';
import { showJson } from '../terminal/show.ts';
import { openVaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({ record: z.string(), name: z.string(), enabled: z.enum(['on', 'off']) });

/** `pam rotation script-edit`: switches a script on or off; its text changes by removing and adding. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  try {
    const holder = await findHolder(session, flags.record);
    const script = { ...namedScript(holder, flags.name), enabled: flags.enabled === 'on' };
    const rest = scriptsOf(holder).map((one) => (one.name === script.name ? script : one));
    await writeScripts(session, holder, rest);
    if (cli.format === 'json') showJson(cli.terminal, scriptJson(script, holder.uid));
    else cli.terminal.err(`“${script.name}” is ${flags.enabled}.\n`);
    return undefined;
  } finally {
    session.close();
  }
};
