import type { Run } from '../cli.ts';
import { isoTime, showJson, showTable, timeCell } from '../terminal/show.ts';
import { openVaultSession } from '../vault/open-session.ts';

/** `pam app list`. */
export const run: Run = async (cli) => {
  const session = await openVaultSession(cli);
  const applications = await session.vault.applications();
  const { apps, gateways } = session.log.state();
  session.close();
  const rows = applications.map((application) => ({
    app_uid: application.uid,
    app_name: application.title,
    key_generation: apps.get(application.app)?.currentGen ?? 0,
    gateways: [...gateways.values()].filter((gateway) => gateway.app === application.app && !gateway.removed).length,
    created_on: application.item.item.createdAtMs,
  }));
  if (cli.format === 'json') {
    showJson(cli.terminal, { applications: rows.map((row) => ({ ...row, created_on: isoTime(row.created_on) })) });
    return undefined;
  }
  if (rows.length === 0) cli.terminal.err('There is no application yet: pam app new NAME makes one.\n');
  else {
    showTable(
      cli.terminal,
      ['application', 'uid', 'keys', 'gateways', 'created'],
      rows.map((row) => [row.app_name, row.app_uid, row.key_generation, row.gateways, timeCell(row.created_on)]),
    );
  }
  return undefined;
};
