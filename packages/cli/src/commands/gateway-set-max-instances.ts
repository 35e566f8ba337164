import { PamError, setMaxInstances } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { maxInstancesBounds, readWhole } from '../gateway/gateway-flags.ts';
import { listNamedGateways } from '../gateway/list-named.ts';
import { readDeadline, streamsText } from '../gateway/set-intent.ts';
import { showJson } from '../terminal/show.ts';
import { plain } from '../terminal/terminal.ts';
import { openVaultSession } from '../vault/open-session.ts';
import { resolveName } from '../vault/resolve.ts';

const flagsSchema = z.object({
  gateway: z.string(),
  maxInstances: z.string(),
  drainSurplus: z.boolean().default(false),
  deadline: z.string().optional(),
});

/**
 * `pam gateway set-max-instances -g GATEWAY -m N`: says what it was, and when more are admitted than the new maximum.
 * With `--drain-surplus` those drain: fewest streams first, then the youngest.
 */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const maxInstances = readWhole('--max-instances', flags.maxInstances, ...maxInstancesBounds);
  if (flags.deadline !== undefined && !flags.drainSurplus)
    throw new PamError('PAM_USAGE', '--deadline is the deadline of --drain-surplus, which is not given');
  const deadlineInMs = readDeadline(flags.deadline);
  const drains = flags.drainSurplus ? { drainSurplus: { deadlineInMs } } : {};
  const session = await openVaultSession(cli);
  const gateway = resolveName('gateway', flags.gateway, await listNamedGateways(session));
  const reply = await session.chain.call(
    setMaxInstances,
    { params: { uid: gateway.uid }, body: { maxInstances, ...drains } },
    [gateway.uid],
  );
  session.close();
  const nameOf = (id: string): string =>
    `${plain(gateway.view.instances.find((one) => one.instanceId === id)?.deviceName ?? 'unknown host')} (${id})`;
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      gateway_uid: gateway.uid,
      gateway_name: gateway.title,
      max_instances: reply.maxInstances,
      max_instances_before: reply.before,
      admitted_instances: reply.admitted,
      drained_instances: reply.drained.map(({ instance, streams }) => ({ instance_id: instance, streams })),
    });
  } else
    cli.terminal.err(
      `${gateway.title}: max instance count set to ${reply.maxInstances} (was ${reply.before}); ${reply.admitted} admitted.\n`,
    );
  for (const { instance, streams } of reply.drained) {
    cli.terminal.err(`${nameOf(instance)} drains: ${streamsText(streams)} may run for ${deadlineInMs / 1_000} s.\n`);
  }
  const over = reply.admitted - reply.maxInstances;
  if (over > 0 && !flags.drainSurplus)
    cli.terminal.err(`${over} over the maximum; they run on until they leave, or --drain-surplus drains them.\n`);
  return undefined;
};
