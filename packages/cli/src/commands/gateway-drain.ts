import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { instanceName, intentJson, readDeadline, setIntent, streamsText } from '../gateway/set-intent.ts';
import { showJson, timeCell } from '../terminal/show.ts';

const flagsSchema = z.object({
  gateway: z.string(),
  instance: z.string(),
  deadline: z.string().optional(),
  replace: z.boolean().default(false),
});

/** `pam gateway drain -g GATEWAY -i INSTANCE`: it takes nothing new, tells its users, finishes, and its process ends with 0. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const deadlineInMs = readDeadline(flags.deadline);
  const set = await setIntent(cli, flags, { kind: 'drain', deadlineInMs, replace: flags.replace });
  if (cli.format === 'json') showJson(cli.terminal, intentJson(set, 'drain'));
  else if (set.membership === 'standby') cli.terminal.err(`${instanceName(set)} stood by; it is gone.\n`);
  else
    cli.terminal.err(
      `${instanceName(set)} drains: ${streamsText(set.streams)} may run until ${timeCell(set.deadlineAtMs)}; it is gone when they have ended.\n` +
        (flags.replace ? 'One more than the maximum is admitted until then: start its successor now.\n' : ''),
    );
  return undefined;
};
