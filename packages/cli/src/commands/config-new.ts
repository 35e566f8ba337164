import { gatewayUidSchema, PamError } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { listNamedGateways } from '../gateway/list-named.ts';
import { showJson } from '../terminal/show.ts';
import { configurationFlagsSchema, networksOf, permissionsOf } from '../vault/configuration-flags.ts';
import { makeConfiguration } from '../vault/create-configuration.ts';
import { openVaultSession } from '../vault/open-session.ts';
import { resolveName } from '../vault/resolve.ts';
import { configurationJson } from '../vault/show-configuration.ts';
import type { OpenedItem } from '../vault/vault.ts';

const flagsSchema = configurationFlagsSchema.extend({ application: z.string().optional(), gateway: z.string() });

/** `pam config new`. The application is the gateway's; `-a` is compared with it when given. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const title = flags.name ?? flags.title;
  if (title === undefined)
    throw new PamError('PAM_USAGE', 'the configuration needs a title', { remedy: 'Give -n TITLE.' });
  const networks = networksOf(flags);
  const session = await openVaultSession(cli);
  const applications = await session.vault.applications();
  const named =
    flags.application === undefined ? undefined : resolveName('application', flags.application, applications);
  const gateways = await listNamedGateways(session);
  const gateway = resolveName(
    'gateway',
    flags.gateway,
    named === undefined ? gateways : gateways.filter((one) => one.appUid === named.uid),
  );
  const application = applications.find((one) => one.uid === gateway.appUid);
  if (application === undefined)
    throw new PamError('PAM_NOT_FOUND', `the router serves no application ${gateway.appUid}`);
  const written = await makeConfiguration(session, {
    title,
    app: application.app,
    gateway: gatewayUidSchema.parse(gateway.uid),
    networks,
    permissions: permissionsOf(flags),
    tags: flags.tag ?? [],
    ...(flags.notes === undefined ? {} : { notes: flags.notes }),
  });
  session.close();
  if (cli.format === 'json') {
    showJson(
      cli.terminal,
      configurationJson(written as OpenedItem<'pamNetworkConfiguration'>, applications, gateways, []),
    );
  } else {
    cli.terminal.out(`${written.uid}\n`);
    cli.terminal.err(
      `PAM configuration “${title}” is made for gateway “${gateway.title}” in “${application.title}”.\n`,
    );
  }
  return undefined;
};
