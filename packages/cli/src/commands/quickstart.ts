import { gatewayUidSchema, PamError, recordTypes } from '@sallyport/protocol';
import { encodeJoinConfig } from '@sallyport/seal';
import { z } from 'zod';
import { formatAddress, parseAddress } from '../api/address.ts';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { makeGateway } from '../gateway/create-gateway.ts';
import { gatewayRouters, maxInstancesBounds, readWhole } from '../gateway/gateway-flags.ts';
import { listNamedGateways } from '../gateway/list-named.ts';
import { refuseExisting, writeNew } from '../profile/file-store.ts';
import { showJson } from '../terminal/show.ts';
import { makeApplication } from '../vault/create-application.ts';
import { makeConfiguration } from '../vault/create-configuration.ts';
import { openVaultSession } from '../vault/open-session.ts';
import { draftRecord, readRecordInput } from '../vault/record-input.ts';
import { knownItems, saveRecord } from '../vault/save-record.ts';
import { isSpecialAddress, suggestedNetwork } from '../vault/target-address.ts';
import { freshUid } from '../vault/vault.ts';

const title = z.string().min(1).max(256);
const flagsSchema = z.object({
  target: z.string(),
  name: title.optional(),
  application: title.default('quickstart'),
  gateway: title.optional(),
  maxInstances: z.string().default('3'),
  router: z.array(z.string()).optional(),
  output: z.string().optional(),
});

/**
 * `pam quickstart --target HOST:PORT`: application, gateway, configuration (with the target's own address as a network
 * when it is private or special) and record. Everything is checked before anything is made; an application of the name
 * is used again, a gateway or record of the name is a conflict.
 */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const target = parseAddress(flags.target);
  const networks = isSpecialAddress(target.host) ? [suggestedNetwork(target.host)] : [];
  const maxInstances = readWhole('--max-instances', flags.maxInstances, ...maxInstancesBounds);
  const name = flags.name ?? target.host;
  const gatewayName = flags.gateway ?? `${name}-gateway`;
  const configName = `${name}-config`;
  if (flags.output !== undefined) await refuseExisting(flags.output);
  const session = await openVaultSession(cli);
  const routers = gatewayRouters(flags.router, session.profile.router);
  const application = (await session.vault.applications()).find((one) => one.title === flags.application);
  const items = await session.vault.allItems([...recordTypes, 'pamNetworkConfiguration']);
  const taken = items.find((one) => one.app === application?.app && (one.title === name || one.title === configName));
  const gatewayTaken = (await listNamedGateways(session)).find(
    (one) => one.title === gatewayName && one.appUid === application?.uid,
  );
  const conflict = taken ?? gatewayTaken;
  if (conflict !== undefined) {
    throw new PamError(
      'PAM_CONFLICT',
      `“${conflict.title}” exists already in application “${flags.application}” (${conflict.uid})`,
      {
        remedy: 'Give another -n, -g or -a; or remove what is left of an earlier try.',
      },
    );
  }

  const app = application?.app ?? (await makeApplication(session, cli.clock, flags.application));
  const fresh = application === undefined ? await openVaultSession(cli) : session;
  const made = await makeGateway(fresh, cli.clock, {
    title: gatewayName,
    app,
    maxInstances,
    routers,
    tokenMinutes: null,
  });
  await makeConfiguration(fresh, {
    title: configName,
    app,
    gateway: gatewayUidSchema.parse(made.uid),
    networks,
    permissions: { tunneling: 'on', connections: 'on' },
  });
  const input = readRecordInput({ title: name, configuration: configName, host: target.host, port: target.port });
  const { record } = await saveRecord(
    fresh,
    null,
    freshUid(),
    app,
    draftRecord('pamMachine', input, await knownItems(fresh), null, app),
  );
  session.close();
  fresh.close();

  const config = encodeJoinConfig(made.config);
  if (flags.output !== undefined) await writeNew(flags.output, `${config}\n`);
  const gatewayLine =
    flags.output === undefined
      ? `GATEWAY_CONFIG=${config} pam-gateway start`
      : `pam-gateway start --config-file ${flags.output}`;
  const tunnelLine = `pam tunnel start ${/^[\w.@-]+$/.test(name) ? name : record.uid}`;
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      app_uid: app,
      gateway_uid: made.uid,
      gateway_name: gatewayName,
      max_instances: maxInstances,
      record_uid: record.uid,
      record_name: name,
      networks,
      ...(flags.output === undefined ? { config } : { output: flags.output }),
      gateway_command: gatewayLine,
      tunnel_command: tunnelLine,
    });
    return undefined;
  }
  cli.terminal.err(
    `Made application “${flags.application}”, gateway “${gatewayName}” (maximum ${maxInstances}), configuration “${configName}”${networks.length === 0 ? '' : ` with network ${networks.join(' ')}`} and record “${name}” (${formatAddress(target)}).\n` +
      `\nOn each host that is to be an instance of the gateway (whoever holds this line is the gateway: keep it secret):\n`,
  );
  cli.terminal.out(`${gatewayLine}\n`);
  cli.terminal.err('\nThen, here:\n');
  cli.terminal.out(`${tunnelLine}\n`);
  return undefined;
};
