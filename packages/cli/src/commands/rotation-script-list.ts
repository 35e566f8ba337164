import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { findHolder, scriptJson, scriptsOf } from '../rotation/script-holder.ts';
import { machineTitles } from '../rotation/script-place.ts';
import { showJson, showTable } from '../terminal/show.ts';
import { openVaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({ record: z.string() });

/** `pam rotation script-list -r RECORD`: its scripts, in the order they run. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  try {
    const holder = await findHolder(session, flags.record);
    const scripts = scriptsOf(holder);
    if (cli.format === 'json') showJson(cli.terminal, { scripts: scripts.map((one) => scriptJson(one, holder.uid)) });
    else if (scripts.length === 0) cli.terminal.err(`“${holder.title}” has no script.\n`);
    else {
      const titles = await machineTitles(session);
      showTable(
        cli.terminal,
        ['name', 'on', 'machine', 'command', 'timeout', 'enabled'],
        scripts.map((one) => [
          one.name,
          one.on,
          one.machine === undefined ? '' : (titles.get(one.machine) ?? one.machine),
          one.command.join(' '),
          `${one.timeoutSeconds} s`,
          one.enabled ? 'on' : 'off',
        ]),
      );
    }
    return undefined;
  } finally {
    session.close();
  }
};
