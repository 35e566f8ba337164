import { formatToken } from '@sallyport/seal';
import { z } from 'zod';
import { parseAddress } from '../api/address.ts';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { configFormats, configText } from '../gateway/config-text.ts';
import { makeGateway } from '../gateway/create-gateway.ts';
import { gatewayRouters, maxInstancesBounds, readWhole } from '../gateway/gateway-flags.ts';
import { refuseExisting, writeNew } from '../profile/file-store.ts';
import { showJson } from '../terminal/show.ts';
import { makeConfiguration } from '../vault/create-configuration.ts';
import { openVaultSession } from '../vault/open-session.ts';
import { pickApplication } from '../vault/pick-application.ts';

const flagsSchema = z.object({
  name: z.string().min(1).max(256),
  application: z.string(),
  maxInstances: z.string().default('1'),
  configInit: z.enum(configFormats).optional(),
  tokenExpiresInMin: z.string().default('60'),
  output: z.string().optional(),
  router: z.array(z.string()).optional(),
  withConfig: z.string().min(1).max(256).optional(),
});

/** `pam gateway new`: standard output is the token or configuration and nothing else. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const maxInstances = readWhole('--max-instances', flags.maxInstances, ...maxInstancesBounds);
  const minutes = readWhole('--token-expires-in-min', flags.tokenExpiresInMin, 1, 1_440);
  if (flags.output !== undefined) await refuseExisting(flags.output);
  const session = await openVaultSession(cli);
  const routers = gatewayRouters(flags.router, session.profile.router);
  const application = await pickApplication(session.vault, flags.application);
  const made = await makeGateway(session, cli.clock, {
    title: flags.name,
    app: application.app,
    maxInstances,
    routers,
    tokenMinutes: flags.configInit === undefined ? minutes : null,
  });
  const first = parseAddress(routers[0] ?? session.profile.router);
  const value =
    made.token === null
      ? configText(made.config, flags.configInit ?? 'b64', flags.name)
      : formatToken(first.host, first.port, made.token);
  if (flags.output !== undefined) await writeNew(flags.output, `${value.trimEnd()}\n`);
  const configuration =
    flags.withConfig === undefined
      ? null
      : await makeConfiguration(session, {
          title: flags.withConfig,
          app: application.app,
          gateway: made.uid,
          networks: [],
          permissions: { tunneling: 'on' },
        });
  session.close();
  const kind = made.token === null ? 'config' : 'token';
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      gateway_uid: made.uid,
      gateway_name: flags.name,
      ksm_app_name: application.title,
      ksm_app_uid: application.uid,
      max_instances: maxInstances,
      ...(configuration === null ? {} : { config_uid: configuration.uid }),
      ...(flags.output === undefined ? { [kind]: value } : { output: flags.output }),
      ...(made.token === null
        ? {}
        : { token_expires_on: new Date(cli.clock.nowMs() + minutes * 60_000).toISOString() }),
    });
    return undefined;
  }
  if (flags.output === undefined) cli.terminal.out(`${value.trimEnd()}\n`);
  cli.terminal.err(`Gateway “${flags.name}” (${made.uid}) of “${application.title}”, maximum ${maxInstances}.\n`);
  cli.terminal.err(next(kind, flags.output, minutes));
  return undefined;
};

function next(kind: 'config' | 'token', output: string | undefined, minutes: number): string {
  if (kind === 'token') {
    return `The token is good once, for ${minutes} min. On the gateway's host: pam-gateway start --token - (and paste it), or pam-gateway redeem.\n`;
  }
  const line =
    output === undefined ? 'GATEWAY_CONFIG=… pam-gateway start' : `pam-gateway start --config-file ${output}`;
  return `Whoever holds the configuration is the pool: keep it secret. On each host of the pool: ${line}\n`;
}
