import type { Run } from '../cli.ts';
import { argument } from '../flags.ts';
import { showJson } from '../terminal/show.ts';
import { makeApplication } from '../vault/create-application.ts';
import { openVaultSession } from '../vault/open-session.ts';

/** `pam app new NAME`. */
export const run: Run = async (cli, args) => {
  const title = argument(args, 0);
  const session = await openVaultSession(cli);
  const app = await makeApplication(session, cli.clock, title);
  session.close();
  if (cli.format === 'json') showJson(cli.terminal, { app_uid: app, app_name: title });
  else {
    cli.terminal.out(`${app}\n`);
    cli.terminal.err(`Application “${title}” is made. Next: pam gateway new -n NAME -a ${title}\n`);
  }
  return undefined;
};
