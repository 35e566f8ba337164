import { applicationUidSchema, gatewayUidSchema, PamError } from '@sallyport/protocol';
import { z } from 'zod';
import type { Cli, Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { configFormats, configText } from '../gateway/config-text.ts';
import { gatewayRouters } from '../gateway/gateway-flags.ts';
import type { NamedGateway } from '../gateway/gateway-rows.ts';
import { listNamedGateways } from '../gateway/list-named.ts';
import { type ReadableSecret, readableSecrets, type Rekeyed, replacePoolKeys } from '../gateway/rekey-gateway.ts';
import { refuseExisting, writeNew } from '../profile/file-store.ts';
import { confirmRemoval } from '../terminal/confirm.ts';
import { showJson, tableText } from '../terminal/show.ts';
import { openVaultSession, type VaultSession } from '../vault/open-session.ts';
import { resolveName } from '../vault/resolve.ts';

const flagsSchema = z.object({
  gateway: z.string(),
  configInit: z.enum(configFormats).default('b64'),
  output: z.string().optional(),
  router: z.array(z.string()).optional(),
  yes: z.boolean().default(false),
});
type Flags = z.infer<typeof flagsSchema>;

/**
 * `pam gateway rekey -g GATEWAY`: the answer to a stolen join configuration. Standard output is the new configuration
 * and nothing else; what is to be done next goes to standard error, in JSON into `to_rotate`.
 */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  if (flags.output !== undefined) await refuseExisting(flags.output);
  const session = await openVaultSession(cli);
  const gateway = resolveName('gateway', flags.gateway, await listNamedGateways(session));
  const running = gateway.view.instances.length;
  await confirmRemoval(
    cli,
    `Replace the keys of gateway “${gateway.title}” (${gateway.uid})${running === 0 ? '' : `, cut off its ${running} instances and reset their streams`}`,
    flags.yes,
  );
  const app = applicationUidSchema.parse(gateway.appUid);
  const rekeyed = await replacePoolKeys(session, cli.clock, {
    uid: gatewayUidSchema.parse(gateway.uid),
    app,
    routers: gatewayRouters(flags.router, session.profile.router),
  });
  const text = await handOver(cli, flags, gateway, rekeyed);
  const found = await secretsOrError(session, app);
  session.close();
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      gateway_uid: gateway.uid,
      gateway_name: gateway.title,
      instances_cut: rekeyed.cut,
      ...(flags.output === undefined ? { config: text } : { output: flags.output }),
      to_rotate: found instanceof PamError ? null : found.secrets.map(secretJson),
    });
  }
  cli.terminal.err(whatNext(gateway, rekeyed, flags.output));
  cli.terminal.err(whatToRotate(gateway, found));
  return undefined;
};

/**
 * Gives the new configuration away before anything else is tried: it exists nowhere else. A file that cannot be
 * written loses it; then the rekey is done again, the old keys are dead either way.
 */
async function handOver(cli: Cli, flags: Flags, gateway: NamedGateway, rekeyed: Rekeyed): Promise<string> {
  const text = configText(rekeyed.config, flags.configInit, gateway.title).trimEnd();
  try {
    if (flags.output !== undefined) await writeNew(flags.output, `${text}\n`);
    else if (cli.format !== 'json') cli.terminal.out(`${text}\n`);
    return text;
  } catch (reason) {
    const error = PamError.from(reason, 'PAM_CONFIG_INVALID', 'the configuration could not be written');
    throw new PamError(error.code, `the keys are replaced, but the new configuration was lost: ${error.message}`, {
      cause: reason,
      remedy: `Run pam gateway rekey -g ${gateway.uid} again, with another -o.`,
    });
  }
}

async function secretsOrError(session: VaultSession, app: Parameters<typeof readableSecrets>[1]) {
  try {
    return await readableSecrets(session, app);
  } catch (reason) {
    return PamError.from(reason, 'PAM_INTERNAL', 'the records could not be read');
  }
}

function whatNext(gateway: NamedGateway, rekeyed: Rekeyed, output: string | undefined): string {
  const line =
    output === undefined ? 'GATEWAY_CONFIG=… pam-gateway start' : `pam-gateway start --config-file ${output}`;
  return `Gateway “${gateway.title}” has new keys. The old configuration starts nothing any more; ${rekeyed.cut} instances were cut off and their streams reset.
Start every instance anew, on each host of the pool: ${line}
`;
}

function whatToRotate(
  gateway: NamedGateway,
  found: { readonly secrets: readonly ReadableSecret[]; readonly unreadable: number } | PamError,
): string {
  const head = `Whoever held the old configuration could read every record of “${gateway.appTitle}” and keep what was read: the application's own keys stay as they are until they get a new generation, which this version cannot give them.\n`;
  if (found instanceof PamError) {
    return `${head}Which secrets these are could not be listed (${found.message}); pam record list -a ${gateway.appUid} does.\n`;
  }
  if (found.secrets.length === 0 && found.unreadable === 0) return `${head}There is no credential among them.\n`;
  const rows = found.secrets.map((one) => [one.title, one.recordUid, one.login, one.usableOn.join(' ')]);
  const more = found.unreadable === 0 ? '' : `${found.unreadable} more could not be read here.\n`;
  return `${head}Change these at their targets, then in their records:\n${tableText(['record', 'uid', 'login', 'usable on'], rows)}${more}`;
}

function secretJson(secret: ReadableSecret): Record<string, unknown> {
  return { record_uid: secret.recordUid, title: secret.title, login: secret.login, usable_on: secret.usableOn };
}
