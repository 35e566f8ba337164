import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { machineTitles } from '../rotation/script-place.ts';
import { findServed, serviceJson } from '../rotation/service-holder.ts';
import { showJson, showTable } from '../terminal/show.ts';
import { openVaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({ record: z.string() });

/** `pam rotation service-list -r RECORD`: what is updated after its rotation, in this order. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  try {
    const { user, services } = await findServed(session, flags.record);
    if (cli.format === 'json') showJson(cli.terminal, { services: services.map((one) => serviceJson(one, user.uid)) });
    else if (services.length === 0) cli.terminal.err(`“${user.title}” has no service.\n`);
    else {
      const titles = await machineTitles(session);
      showTable(
        cli.terminal,
        ['name', 'machine', 'unit', 'manager', 'file', 'escape'],
        services.map((one) => [
          one.name,
          titles.get(one.machine) ?? one.machine,
          one.unit,
          one.unit === '' ? '' : one.manager,
          one.file,
          one.file === '' ? '' : one.escape,
        ]),
      );
    }
    return undefined;
  } finally {
    session.close();
  }
};
