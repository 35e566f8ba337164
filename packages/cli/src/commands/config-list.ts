import { recordTypes } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { listNamedGateways } from '../gateway/list-named.ts';
import { showJson, showTable, timeCell } from '../terminal/show.ts';
import { openVaultSession } from '../vault/open-session.ts';
import { resolveName } from '../vault/resolve.ts';
import { configurationJson, permittedText } from '../vault/show-configuration.ts';
import type { OpenedItem } from '../vault/vault.ts';

const flagsSchema = z.object({ config: z.string().optional(), verbose: z.boolean().default(false) });

/** `pam config list [-c CONFIG]`. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  const items = await session.vault.allItems(['pamNetworkConfiguration', ...recordTypes]);
  const all = items.filter(
    (one): one is OpenedItem<'pamNetworkConfiguration'> => one.type === 'pamNetworkConfiguration',
  );
  const shown = flags.config === undefined ? all : [resolveName('PAM configuration', flags.config, all)];
  const applications = await session.vault.applications();
  const gateways = await listNamedGateways(session);
  session.close();
  const resources = (uid: string) =>
    items.filter((one) => 'configuration' in one.facts && one.facts.configuration === uid && one.type !== 'pamUser');
  const rows = shown.map((one) => configurationJson(one, applications, gateways, resources(one.uid)));
  if (cli.format === 'json') {
    showJson(cli.terminal, { configurations: rows });
    return undefined;
  }
  if (shown.length === 0) {
    cli.terminal.err('There is no PAM configuration: pam config new -n NAME -g GATEWAY --tunneling on makes one.\n');
    return undefined;
  }
  const extra =
    flags.verbose || flags.config !== undefined ? ['application', 'created', 'last modified', 'records'] : [];
  showTable(
    cli.terminal,
    ['configuration', 'uid', 'gateway', 'networks', 'on', 'used by', ...extra],
    shown.map((one) => [
      one.title,
      one.uid,
      gateways.find((gateway) => gateway.uid === one.facts.gateway)?.title ?? one.facts.gateway,
      one.facts.networks.join(' ') || 'public only',
      permittedText(one.facts.permissions),
      `${resources(one.uid).length} records`,
      ...(extra.length === 0
        ? []
        : [
            applications.find((app) => app.app === one.app)?.title ?? one.app,
            timeCell(one.item.createdAtMs),
            timeCell(one.item.modifiedAtMs),
            resources(one.uid)
              .map((record) => record.title)
              .join(', '),
          ]),
    ]),
  );
  return undefined;
};
