import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { instanceName, intentJson, setIntent, streamsText } from '../gateway/set-intent.ts';
import { showJson } from '../terminal/show.ts';

const flagsSchema = z.object({ gateway: z.string(), instance: z.string() });

/** `pam gateway cordon -g GATEWAY -i INSTANCE`: it takes nothing new, what runs there goes on. */
export const run: Run = async (cli, _args, rawFlags) => {
  const set = await setIntent(cli, readFlags(flagsSchema, rawFlags), { kind: 'cordon' });
  if (cli.format === 'json') showJson(cli.terminal, intentJson(set, 'cordon'));
  else
    cli.terminal.err(
      `${instanceName(set)} takes nothing new; ${streamsText(set.streams)} run on. pam gateway uncordon takes it back.\n`,
    );
  return undefined;
};
