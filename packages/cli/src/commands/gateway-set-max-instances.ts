import { setMaxInstances } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { maxInstancesBounds, readWhole } from '../gateway/gateway-flags.ts';
import { listNamedGateways } from '../gateway/list-named.ts';
import { showJson } from '../terminal/show.ts';
import { openVaultSession } from '../vault/open-session.ts';
import { resolveName } from '../vault/resolve.ts';

const flagsSchema = z.object({ gateway: z.string(), maxInstances: z.string() });

/** `pam gateway set-max-instances -g GATEWAY -m N`: says what it was, and when more are admitted than the new maximum. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const maxInstances = readWhole('--max-instances', flags.maxInstances, ...maxInstancesBounds);
  const session = await openVaultSession(cli);
  const gateway = resolveName('gateway', flags.gateway, await listNamedGateways(session));
  const reply = await session.chain.call(setMaxInstances, { params: { uid: gateway.uid }, body: { maxInstances } }, [
    gateway.uid,
  ]);
  session.close();
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      gateway_uid: gateway.uid,
      gateway_name: gateway.title,
      max_instances: reply.maxInstances,
      max_instances_before: reply.before,
      admitted_instances: reply.admitted,
    });
  } else
    cli.terminal.err(
      `${gateway.title}: max instance count set to ${reply.maxInstances} (was ${reply.before}); ${reply.admitted} admitted.\n`,
    );
  if (reply.admitted > reply.maxInstances) {
    cli.terminal.err(
      `${reply.admitted - reply.maxInstances} instances are over the maximum; they run on until they leave or are stopped.\n`,
    );
  }
  return undefined;
};
