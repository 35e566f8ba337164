import { gatewayUidSchema, removeGateway, PamError } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { listNamedGateways } from '../gateway/list-named.ts';
import { confirmRemoval } from '../terminal/confirm.ts';
import { openVaultSession } from '../vault/open-session.ts';
import { resolveName } from '../vault/resolve.ts';

const flagsSchema = z.object({ gateway: z.string(), yes: z.boolean().default(false) });

/**
 * `pam gateway remove -g GATEWAY`, by its UID also one that only the trust log still names, after a restore: PAM_IN_USE with the titles
 * of the PAM configurations that name it.
 */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  const named = await listNamedGateways(session);
  const inLog = session.log.state().gateways.get(flags.gateway);
  const isLost = inLog?.removed === false && !named.some((one) => one.uid === inLog.uid);
  const gateway = isLost
    ? { uid: inLog.uid, title: inLog.uid, view: { instances: [] } }
    : resolveName('gateway', flags.gateway, named);
  const configurations = (await session.vault.allItems(['pamNetworkConfiguration'])).filter(
    (one) => one.facts.gateway === gateway.uid,
  );
  if (configurations.length > 0) {
    const list = configurations.map((one) => `“${one.title}” (${one.uid})`).join(', ');
    throw new PamError(
      'PAM_IN_USE',
      `gateway “${gateway.title}” is used by ${configurations.length} PAM configurations: ${list}`,
      {
        detail: { dependants: configurations.map((one) => one.uid).join(' ') },
      },
    );
  }
  const running = gateway.view.instances.length;
  await confirmRemoval(
    cli,
    `Remove gateway “${gateway.title}” (${gateway.uid})${running === 0 ? '' : `, cut off its ${running} instances and end their sessions`}`,
    flags.yes,
  );
  const uid = gatewayUidSchema.parse(gateway.uid);
  await session.log.append([{ kind: 'gateway-removed', gateway: uid }], session.device.key, async ([entry = '']) =>
    session.chain.call(removeGateway, { params: { uid }, body: { entry } }, [uid]),
  );
  session.close();
  cli.terminal.err(`Gateway “${gateway.title}” is removed; its configuration starts nothing any more.\n`);
  return undefined;
};
