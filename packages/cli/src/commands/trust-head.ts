import type { Run } from '../cli.ts';
import { openSignedIn } from '../person/signed-in.ts';
import { showJson } from '../terminal/show.ts';

/** `pam trust head`: number and hash of the newest entry and the anchor, for comparing by telephone or in a script. */
export const run: Run = async (cli) => {
  const session = await openSignedIn(cli);
  session.client.close();
  const { head, anchor } = session.log.state();
  if (cli.format === 'json') showJson(cli.terminal, { n: head.n, hash: head.hash, anchor });
  else cli.terminal.out(`entry  ${head.n}\nhash   ${head.hash}\nanchor ${anchor}\n`);
  return undefined;
};
