import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { instanceName, intentJson, setIntent } from '../gateway/set-intent.ts';
import { showJson } from '../terminal/show.ts';

const flagsSchema = z.object({ gateway: z.string(), instance: z.string() });

/** `pam gateway uncordon -g GATEWAY -i INSTANCE`: it takes its turns again. */
export const run: Run = async (cli, _args, rawFlags) => {
  const set = await setIntent(cli, readFlags(flagsSchema, rawFlags), { kind: 'serve' });
  if (cli.format === 'json') showJson(cli.terminal, intentJson(set, 'serve'));
  else cli.terminal.err(`${instanceName(set)} takes its turns again.\n`);
  return undefined;
};
