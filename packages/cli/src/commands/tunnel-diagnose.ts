import { type InstanceId, PamError } from '@sallyport/protocol';
import { z } from 'zod';
import { carrierOf } from '../api/carrier-of.ts';
import type { Cli, Run } from '../cli.ts';
import { type Check, type Checklist, createChecklist, exitOf } from '../diagnose/check.ts';
import { addUntried, checkInstances } from '../diagnose/instance-checks.ts';
import { checkRouter } from '../diagnose/router-checks.ts';
import { argument, readFlags } from '../flags.ts';
import { readWhole } from '../gateway/gateway-flags.ts';
import { statusText } from '../gateway/gateway-rows.ts';
import { listNamedGateways } from '../gateway/list-named.ts';
import { showJson } from '../terminal/show.ts';
import { plain } from '../terminal/terminal.ts';
import { findTarget, type FoundTarget } from '../tunnel/find-target.ts';
import { startTunnelSession, type TunnelSession } from '../tunnel/tunnel-session.ts';
import { openVaultSession, type VaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({
  targetHost: z.string().min(1).max(253).optional(),
  targetPort: z.string().optional(),
  timeout: z.string().default('60'),
});
/** The session is ended at the router even when time is over; no longer than this. */
const endWithinMs = 3_000;

/**
 * `pam tunnel diagnose RECORD`: everything a tunnel stands on, one step after the other, up to the target's own word by
 * way of every instance. Exit code: that of the first failure.
 */
export const run: Run = async (cli, args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const name = argument(args, 0);
  const timeoutMs = readWhole('--timeout', flags.timeout, 1, 3_600) * 1_000;
  const over = new AbortController();
  const cancel = cli.clock.after(timeoutMs, () =>
    over.abort(new PamError('PAM_TIMEOUT', `the diagnosis was not done within ${timeoutMs / 1_000} s`)),
  );
  const interrupt = () => over.abort(new PamError('PAM_INTERRUPTED', 'interrupted'));
  cli.signal.addEventListener('abort', interrupt, { once: true });
  const list = createChecklist(cli.clock, over.signal, (check) => {
    if (cli.format === 'table') cli.terminal.out(lineOf(check));
  });
  try {
    await diagnose({ ...cli, signal: over.signal }, list, name, flags);
  } finally {
    cancel();
    cli.signal.removeEventListener('abort', interrupt);
  }
  if (cli.format === 'json') showJson(cli.terminal, reportJson(name, list.checks));
  const bad = list.checks.filter((check) => check.status === 'failed').length;
  cli.terminal.err(bad === 0 ? 'Nothing failed.\n' : `${bad} of ${list.checks.length} steps failed.\n`);
  return exitOf(list.checks);
};

async function diagnose(cli: Cli, list: Checklist, name: string, flags: z.infer<typeof flagsSchema>): Promise<void> {
  const reached = await checkRouter(cli, list);
  const session = await list.run('trust-log', 'trust log', [reached ? true : null], async () => {
    // A life of its own: when time is over, the session is still ended at the router.
    const opened = await openVaultSession({ ...cli, signal: new AbortController().signal });
    return { text: `verified to entry ${opened.log.state().head.n}`, value: opened };
  });
  try {
    await checkTunnel(cli, list, session, name, flags);
  } finally {
    session?.close();
  }
}

async function checkTunnel(
  cli: Cli,
  list: Checklist,
  session: VaultSession | null,
  name: string,
  flags: z.infer<typeof flagsSchema>,
): Promise<void> {
  const found = await list.run('record', 'record and permissions', [session], async () => {
    if (session === null) throw new PamError('PAM_INTERNAL', 'no session');
    const target = await findTarget(session, name, { host: flags.targetHost, port: flags.targetPort });
    return { text: `${target.recordTitle} (${target.endpoint}) may be tunnelled to`, value: target };
  });
  const members = await list.run('gateway', 'gateway', [found], async () => gatewayOf(session, found));
  const tunnel = await list.run('session', 'session', [found, members], async () => {
    if (session === null || found === null) throw new PamError('PAM_INTERNAL', 'no session');
    const started = await startTunnelSession(
      { clock: cli.clock, signedIn: session, carrier: carrierOf(cli, session.profile.pins) },
      found.target,
    );
    return { text: 'the router started one', value: started };
  });
  if (tunnel === null || members === null) return;
  const title = (instance: InstanceId) => {
    const host = members.find((one) => one.instanceId === instance)?.deviceName;
    return `instance ${instance}${host === undefined ? '' : ` (${host})`}`;
  };
  try {
    const ready = members.filter((one) => one.state === 'ready').map((one) => one.instanceId);
    const tried = await checkInstances(list, { clock: cli.clock, life: cli.signal, title, ready }, tunnel);
    addUntried(list, members, tried);
  } finally {
    await endOf(cli, tunnel);
  }
}

async function gatewayOf(session: VaultSession | null, found: FoundTarget | null) {
  const gateways = session === null ? [] : await listNamedGateways(session);
  const gateway = gateways.find((one) => one.uid === String(found?.target.gateway));
  if (gateway === undefined) throw new PamError('PAM_GATEWAY_REMOVED', 'the router does not list this gateway');
  const { instances, maxInstances } = gateway.view;
  const admitted = instances.filter((one) => one.state !== 'standby' && one.state !== 'joining');
  if (admitted.length === 0) {
    throw new PamError('PAM_POOL_NO_READY_INSTANCE', `no instance of “${gateway.title}” is connected`, {
      remedy: `Start one with the gateway's configuration, and look at its log.`,
    });
  }
  const text = `“${gateway.title}” is ${statusText(gateway.view)}: ${admitted.length} of at most ${maxInstances} instances`;
  const weak = admitted.filter((one) => one.state !== 'ready');
  return {
    text,
    value: instances,
    ...(weak.length === 0
      ? {}
      : { warning: { text: `${weak.length} not ready`, remedy: 'Look at pam gateway list -v.' } }),
  };
}

/** Leaves nothing behind at the router. Its own trouble is no finding. */
async function endOf(cli: Cli, tunnel: Pick<TunnelSession, 'end'>): Promise<void> {
  const late = Promise.withResolvers<void>();
  const cancel = cli.clock.after(endWithinMs, late.resolve);
  await Promise.race([tunnel.end().catch(() => undefined), late.promise]);
  cancel();
}

function lineOf(check: Check): string {
  const time = check.status === 'skipped' ? '' : ` (${check.tookMs} ms)`;
  const line = `${check.status.padEnd(8)} ${plain(check.title)}: ${plain(check.text)}${time}\n`;
  if (check.remedy === null) return line;
  return `${line}         remedy: ${plain(check.remedy)}${check.code === null ? '' : ` (${check.code})`}\n`;
}

function reportJson(record: string, checks: readonly Check[]): Record<string, unknown> {
  return {
    record,
    healthy: checks.every((check) => check.status === 'ok'),
    checks: checks.map(({ tookMs, ...check }) => ({ ...check, took_ms: tookMs })),
  };
}
