import { z } from 'zod';
import { PamError } from '@sallyport/protocol';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { listNamedGateways } from '../gateway/list-named.ts';
import { openVaultSession } from '../vault/open-session.ts';
import { resolveName } from '../vault/resolve.ts';

const flagsSchema = z.object({ gateway: z.string(), name: z.string().min(1).max(256) });

/** `pam gateway edit -g GATEWAY -n NAME`: the name is sealed; the router learns only that something changed. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  const gateways = await listNamedGateways(session);
  const gateway = resolveName('gateway', flags.gateway, gateways);
  const same = gateways.find(
    (one) => one.title === flags.name && one.appUid === gateway.appUid && one.uid !== gateway.uid,
  );
  if (same !== undefined) throw new PamError('PAM_CONFLICT', `a gateway “${flags.name}” exists already (${same.uid})`);
  const [before] = (await session.vault.allItems(['gateway'])).filter((item) => item.uid === gateway.uid);
  if (before === undefined) throw new PamError('PAM_NOT_FOUND', `the router serves no facts of gateway ${gateway.uid}`);
  await session.vault.write(before, {
    uid: before.uid,
    app: before.app,
    type: 'gateway',
    facts: { ...before.facts, title: flags.name },
  });
  session.close();
  cli.terminal.err(`Gateway “${gateway.title}” is now called “${flags.name}”.\n`);
  return undefined;
};
