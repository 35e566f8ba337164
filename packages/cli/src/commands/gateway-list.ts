import { errorCatalog, isRouterAway, PamError } from '@sallyport/protocol';
import { z } from 'zod';
import type { Cli, Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { isUp } from '../gateway/gateway-changes.ts';
import {
  type GatewayJson,
  gatewayJson,
  gatewayStatus,
  gatewayTable,
  type NamedGateway,
  surplus,
} from '../gateway/gateway-rows.ts';
import { listNamedGateways } from '../gateway/list-named.ts';
import { openProfile } from '../person/signed-in.ts';
import { ageText, isoTime, showJson, showTable } from '../terminal/show.ts';
import { errorText } from '../terminal/show-error.ts';
import { openVaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({
  verbose: z.boolean().default(false),
  online: z.boolean().default(false),
  force: z.boolean().default(false),
  watch: z.boolean().default(false),
  interval: z.coerce.number('a number of seconds').min(1, 'at least 1').max(3_600, 'at most 3600').optional(),
});
/** Between two looks. */
const usualIntervalSeconds = 2;
type Flags = z.infer<typeof flagsSchema>;

/** `pam gateway list`, once or with `--watch`. Without the router: an error (69); with `-f` the list last seen, status UNKNOWN, and 69 all the same. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  if (flags.watch) return startWatching(cli, flags);
  if (flags.interval !== undefined) throw new PamError('PAM_USAGE', '--interval needs --watch');
  let gateways: readonly NamedGateway[];
  try {
    const session = await openVaultSession(cli);
    gateways = await listNamedGateways(session);
    session.close();
    await session.store.writeLastList(cli.clock.nowMs(), gateways.map(forget));
  } catch (reason) {
    const down = reason instanceof PamError && (isRouterAway(reason.code) || reason.code === 'PAM_TIMEOUT');
    if (!down || !flags.force) throw reason;
    return showLast(cli, flags, reason);
  }
  const shown = flags.online ? gateways.filter(isUp) : gateways;
  const counts = {
    online: gateways.filter(isUp).length,
    offline: gateways.filter((one) => !isUp(one)).length,
    total: gateways.length,
  };
  if (cli.format === 'json') {
    showJson(cli.terminal, { gateways: shown.map(gatewayJson), ...(flags.online ? { gateway_counts: counts } : {}) });
    if (gateways.length === 0) tellNext(cli);
    return undefined;
  }
  if (gateways.length === 0) {
    tellNext(cli);
    return undefined;
  }
  const { head, rows } = gatewayTable(shown, flags.verbose);
  showTable(cli.terminal, head, rows);
  if (flags.online)
    cli.terminal.err(`Gateways: online ${counts.online}, offline ${counts.offline}, total ${counts.total}\n`);
  for (const gateway of shown) warnOverLimit(cli, gateway);
  return undefined;
};

async function startWatching(cli: Cli, flags: Flags): Promise<number> {
  if (flags.force) throw new PamError('PAM_USAGE', '--watch goes on by itself while the router is down: leave out -f');
  const { watchGateways } = await import('../gateway/watch-gateways.ts');
  const everyMs = 1_000 * (flags.interval ?? usualIntervalSeconds);
  return watchGateways(cli, { verbose: flags.verbose, online: flags.online, everyMs });
}

function tellNext(cli: Cli): void {
  cli.terminal.err(
    'There is no gateway yet: pam gateway new -n NAME -a APPLICATION makes one; it is listed at once.\n',
  );
}

function warnOverLimit(cli: Cli, gateway: NamedGateway): void {
  if (gatewayStatus(gateway.view) !== 'over_limit') return;
  cli.terminal.err(
    `“${gateway.title}” has ${surplus(gateway.view)} more than its maximum: pam gateway smi -g ${gateway.uid} -m ${gateway.view.maxInstances} --drain-surplus drains them.\n`,
  );
}

/** What is worth remembering of a list: all but what only held at that moment. */
function forget(gateway: NamedGateway): GatewayJson {
  return { ...gatewayJson(gateway), status: 'unknown' };
}

const lastSchema = z.array(
  z.looseObject({
    gateway_uid: z.string(),
    gateway_name: z.string(),
    ksm_app_name: z.string(),
    ksm_app_uid: z.string(),
    gateway_version: z.string().nullable(),
  }),
);

async function showLast(cli: Cli, flags: Flags, down: PamError): Promise<number> {
  const { store } = await openProfile(cli);
  const last = await store.readLastList();
  if (last === null) throw down;
  const gateways = lastSchema.parse(last.list);
  const age = cli.clock.nowMs() - last.atMs;
  const shown = flags.online ? [] : gateways;
  if (cli.format === 'json') {
    showJson(cli.terminal, { gateways: shown, as_of: isoTime(last.atMs), age_seconds: Math.round(age / 1_000) });
  } else {
    showTable(
      cli.terminal,
      ['application (uid)', 'gateway', 'gateway uid', 'status', 'version'],
      shown.map((one) => [
        `${one.ksm_app_name} (${one.ksm_app_uid})`,
        one.gateway_name,
        one.gateway_uid,
        'UNKNOWN',
        one.gateway_version ?? '',
      ]),
    );
  }
  cli.terminal.err(`This list is ${ageText(age)} old.\n${errorText(down)}`);
  return errorCatalog[down.code].exit;
}
