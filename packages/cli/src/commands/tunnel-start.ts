import { spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { isIP } from 'node:net';
import { constants } from 'node:os';
import { Duplex } from 'node:stream';
import { errorCatalog, PamError, toWireError } from '@sallyport/protocol';
import { z } from 'zod';
import { formatAddress } from '../api/address.ts';
import { carrierOf } from '../api/carrier-of.ts';
import type { Cli, Run } from '../cli.ts';
import { argument, readFlags } from '../flags.ts';
import { readWhole } from '../gateway/gateway-flags.ts';
import { readText, writeWhole } from '../profile/file-store.ts';
import { openPreferredPorts } from '../profile/preferred-ports.ts';
import { showJson } from '../terminal/show.ts';
import { errorText, toPamError } from '../terminal/show-error.ts';
import { withProgress } from '../terminal/progress.ts';
import { startInBackground, tellStarter } from '../tunnel/background.ts';
import { type FoundTarget, findTarget } from '../tunnel/find-target.ts';
import { listen } from '../tunnel/listener.ts';
import { processStart } from '../tunnel/process-identity.ts';
import { newTunnelId, openTunnelRegistry, type TunnelEntry, type TunnelRegistry } from '../tunnel/registry.ts';
import { keepSignedIn } from '../tunnel/keep-signed-in.ts';
import { type RunningTunnel, runTunnel } from '../tunnel/run-tunnel.ts';
import { createStateWriter } from '../tunnel/state-writer.ts';
import { tellDrain } from '../tunnel/tell-drain.ts';
import type { DrainNews } from '../tunnel/drain-notes.ts';
import { startTunnelSession } from '../tunnel/tunnel-session.ts';
import { openProfile } from '../person/signed-in.ts';
import { openVaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({
  host: z.string().default('127.0.0.1'),
  port: z.string().optional(),
  targetHost: z.string().min(1).max(253).optional(),
  targetPort: z.string().optional(),
  foreground: z.boolean().default(false),
  background: z.boolean().default(false),
  run: z.string().min(1).optional(),
  stdio: z.boolean().default(false),
  pidFile: z.string().optional(),
  timeout: z.string().default('30'),
  onDrain: z.string().min(1).max(4_096).optional(),
  detachTimeout: z.string().default('60'),
  backgroundChild: z.boolean().default(false),
  exitWithStdin: z.boolean().default(false),
});
type Flags = z.infer<typeof flagsSchema>;
type Mode = TunnelEntry['mode'];

/**
 * `pam tunnel start RECORD`.
 *
 * Stages: find and check the record → start the session at the router → listen → say so → carry connections until
 * Ctrl-C, SIGTERM (`tunnel stop`), the end of `--run`, or the end of the session → reset what still runs, tell the
 * router, remove registry entry and pid file.
 */
export const run: Run = async (cli, args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const mode = chooseMode(flags);
  const record = argument(args, 0);
  const port = flags.port === undefined ? null : readListenPort(flags.port);
  const timeoutMs = readTimeout(flags.timeout);
  if (mode === 'background' && !flags.backgroundChild) return goToBackground(cli, record, flags, timeoutMs);
  if (!flags.backgroundChild) return carryOn(cli, record, flags, mode, port, timeoutMs);
  try {
    return await carryOn(cli, record, flags, mode, port, timeoutMs);
  } catch (reason) {
    const error = toPamError(reason);
    cli.terminal.err(errorText(error));
    await tellStarter({ error: toWireError(error) });
    return errorCatalog[error.code].exit;
  }
};

async function carryOn(
  cli: Cli,
  record: string,
  flags: Flags,
  mode: Mode,
  asked: number | null,
  timeoutMs: number,
): Promise<number | undefined> {
  const id = newTunnelId();
  const up = await withProgress(cli, 'opening the tunnel', async () => bringUp(cli, id, record, flags, timeoutMs));
  const { found, tunnel, states } = up;
  const registry = openTunnelRegistry(up.folder);
  let server: Awaited<ReturnType<typeof listen>> | null = null;
  try {
    if (mode !== 'stdio') {
      const port = asked ?? (await openPreferredPorts(up, cli).of(found.recordUid)) ?? 0;
      server = await listen(flags.host, port, tunnel.accept, async (taken) => tunnelOn(registry, taken));
    }
    const entry = await describe(id, found, mode, flags.host, server?.port ?? 0, cli);
    await registry.add(entry);
    states.write(async (state) => registry.add({ ...entry, state }));
    if (flags.pidFile !== undefined) await writeWhole(flags.pidFile, `${process.pid}\n`);
    await announce(cli, entry, found, mode);
    return await untilEnd(cli, flags, mode, tunnel, entry);
  } finally {
    server?.server.close();
    await tunnel.stop();
    await states.end();
    await registry.remove(id);
    if (flags.pidFile !== undefined) await removePidFile(flags.pidFile);
  }
}

/**
 * Everything up to the listener. Calls to the router have a life of their own: the end of the session is told to the
 * router after Ctrl-C.
 */
async function bringUp(cli: Cli, id: string, record: string, flags: Flags, timeoutMs: number) {
  const detachedMs = 1_000 * readWhole('--detach-timeout', flags.detachTimeout, 1, 75);
  const life = new AbortController();
  const late = Promise.withResolvers<never>();
  const cancel = cli.clock.after(timeoutMs, () =>
    late.reject(new PamError('PAM_TIMEOUT', `the tunnel was not up within ${timeoutMs / 1_000} s`)),
  );
  const interrupt = () => late.reject(new PamError('PAM_INTERRUPTED', 'interrupted'));
  cli.signal.addEventListener('abort', interrupt, { once: true });
  const open = async (name: string) => {
    const session = await openVaultSession({ ...cli, signal: life.signal });
    session.heads.writeBehind();
    try {
      const found = await findTarget(session, name, { host: flags.targetHost, port: flags.targetPort });
      return {
        session,
        found,
        tunnel: await startTunnelSession(
          { clock: cli.clock, signedIn: session, carrier: carrierOf(cli, session.profile.pins) },
          found.target,
        ),
      };
    } catch (reason) {
      session.close();
      throw reason;
    }
  };
  const work = async () => {
    const first = await open(record);
    const states = createStateWriter();
    const parts = await keepSignedIn(cli, first, open, states.changed);
    const onDrain = (news: DrainNews) => tellDrain(cli, { id, onDrain: flags.onDrain }, news);
    const tunnel = runTunnel(cli, parts, { detachedMs, onDrain });
    return { found: first.found, tunnel, folder: first.session.store.folder, states };
  };
  try {
    return await Promise.race([work(), late.promise]);
  } catch (reason) {
    life.abort();
    throw reason;
  } finally {
    cancel();
    cli.signal.removeEventListener('abort', interrupt);
  }
}

async function untilEnd(
  cli: Cli,
  flags: Flags,
  mode: Mode,
  tunnel: RunningTunnel,
  entry: TunnelEntry,
): Promise<number | undefined> {
  const asked = whenAsked(cli, flags);
  const over = tunnel.ended.then((error): never => {
    throw error;
  });
  over.catch(() => undefined);
  switch (mode) {
    case 'run':
      return Promise.race([runCommand(cli, flags.run ?? '', entry), over]);
    case 'stdio':
      return Promise.race([carryStdio(tunnel), asked, over]);
    case 'foreground':
    case 'background':
      return Promise.race([asked, over]);
    default:
      return mode satisfies never;
  }
}

/** Resolves with the exit code when somebody ends the tunnel: 0 for SIGTERM and a closed starter, 130 for Ctrl-C. */
async function whenAsked(cli: Cli, flags: Flags): Promise<number> {
  const done = Promise.withResolvers<number>();
  const stop = () => done.resolve(cli.signal.reason === 'SIGTERM' ? 0 : errorCatalog.PAM_INTERRUPTED.exit);
  cli.signal.addEventListener('abort', stop, { once: true });
  if (cli.signal.aborted) stop();
  if (flags.exitWithStdin) {
    process.stdin.on('end', () => done.resolve(0));
    process.stdin.on('close', () => done.resolve(0));
    process.stdin.resume();
  }
  const code = await done.promise;
  // A starter's pipe that is still open would keep this process alive.
  if (flags.exitWithStdin) process.stdin.destroy();
  return code;
}

/** Runs a command with the tunnel's address in its environment; its exit code becomes ours. */
async function runCommand(cli: Cli, command: string, entry: TunnelEntry): Promise<number> {
  const child = spawn(command, {
    shell: true,
    stdio: 'inherit',
    env: { ...process.env, PAM_TUNNEL_HOST: entry.host, PAM_TUNNEL_PORT: String(entry.port) },
  });
  const pass = () => {
    if (!cli.terminal.interactive) child.kill('SIGTERM');
  };
  cli.signal.addEventListener('abort', pass, { once: true });
  return new Promise((resolve, reject) => {
    child.on('error', (reason) => reject(PamError.from(reason, 'PAM_INTERNAL', 'the command cannot be started')));
    child.on('exit', (code, signal) => resolve(signal === null ? (code ?? 1) : 128 + constants.signals[signal]));
  });
}

async function carryStdio(tunnel: RunningTunnel): Promise<number> {
  // Elsewhere a reader that left ends the program at once; here the router is told first.
  process.stdout.removeAllListeners('error');
  const local = Duplex.from({ readable: process.stdin, writable: process.stdout });
  const error = await tunnel.carry(local, new AbortController().signal);
  if (error !== null) throw error;
  return 0;
}

async function announce(cli: Cli, entry: TunnelEntry, found: FoundTarget, mode: Mode): Promise<void> {
  const line = tunnelLine(entry);
  if (mode === 'background') {
    await tellStarter({ listening: { id: entry.id, pid: entry.pid, host: entry.host, port: entry.port, line } });
    return;
  }
  if (mode === 'stdio') return;
  if (mode === 'run') cli.terminal.err(`${line}\n`);
  else if (cli.format === 'json') showJson(cli.terminal, startedJson(entry, found.recordUid));
  else {
    cli.terminal.out(`${line}\n`);
    if (cli.terminal.interactive) cli.terminal.err('Ctrl-C ends it.\n');
  }
}

async function goToBackground(cli: Cli, record: string, flags: Flags, timeoutMs: number): Promise<undefined> {
  const { store } = await openProfile(cli);
  const { folder, list } = openTunnelRegistry(store.folder);
  const argv = [
    ...['tunnel', 'start', record, '--profile', store.name, '--background', '--background-child'],
    ...[`--host=${flags.host}`, `--timeout=${flags.timeout}`, `--detach-timeout=${flags.detachTimeout}`],
    ...(flags.port === undefined ? [] : [`--port=${flags.port}`]),
    ...(flags.targetHost === undefined ? [] : [`--target-host=${flags.targetHost}`]),
    ...(flags.targetPort === undefined ? [] : [`--target-port=${flags.targetPort}`]),
    ...(flags.pidFile === undefined ? [] : [`--pid-file=${flags.pidFile}`]),
    ...(flags.onDrain === undefined ? [] : [`--on-drain=${flags.onDrain}`]),
  ];
  const { listening, log } = await startInBackground(cli, folder, argv, timeoutMs + 2_000);
  const entry = (await list()).find((one) => one.id === listening.id);
  if (cli.format === 'json' && entry !== undefined) showJson(cli.terminal, startedJson(entry, entry.recordUid));
  else cli.terminal.out(`${listening.line}\n`);
  cli.terminal.err(
    `Tunnel ${listening.id} runs in the background (PID ${listening.pid}), log ${log}. pam tunnel stop ${listening.id} ends it.\n`,
  );
  return undefined;
}

function startedJson(entry: TunnelEntry, recordUid: string): Record<string, unknown> {
  return {
    tunnel_id: entry.id,
    pid: entry.pid,
    host: entry.host,
    port: entry.port,
    record_uid: recordUid,
    record_name: entry.recordTitle,
    target: entry.target,
    gateway_name: entry.gatewayTitle,
    mode: entry.mode,
    log: entry.log,
  };
}

function tunnelLine(entry: TunnelEntry): string {
  return `${formatAddress(entry)} → ${entry.recordTitle} (${entry.target}) via ${entry.gatewayTitle}`;
}

async function describe(
  id: string,
  found: FoundTarget,
  mode: Mode,
  host: string,
  port: number,
  cli: Cli,
): Promise<TunnelEntry> {
  return {
    v: 1,
    id,
    pid: process.pid,
    processStart: (await processStart(process.pid)) ?? '',
    recordUid: found.recordUid,
    recordTitle: found.recordTitle,
    gatewayTitle: found.gatewayTitle,
    target: found.endpoint,
    host,
    port,
    mode,
    startedAtMs: cli.clock.nowMs(),
    log: cli.env['SALLYPORT_TUNNEL_LOG'] ?? null,
    state: { kind: 'ready', sinceMs: null, streams: 0 },
  };
}

async function tunnelOn(registry: TunnelRegistry, port: number): Promise<string | null> {
  const entry = (await registry.list()).find((one) => one.port === port);
  return entry === undefined ? null : `tunnel ${entry.id} to “${entry.recordTitle}” (PID ${entry.pid})`;
}

async function removePidFile(path: string): Promise<void> {
  if ((await readText(path, 64))?.trim() === String(process.pid)) await rm(path, { force: true });
}

function chooseMode(flags: Flags): Mode {
  const asked = [flags.foreground, flags.background, flags.run !== undefined, flags.stdio].filter(Boolean).length;
  if (asked > 1) throw new PamError('PAM_USAGE', '--foreground, --background, --run and --stdio exclude each other');
  if (isIP(flags.host) === 0 && flags.host !== 'localhost') {
    throw new PamError(
      'PAM_USAGE',
      `--host: “${flags.host}” is not an address of this machine; the target's host is --target-host`,
    );
  }
  if (flags.background) return 'background';
  if (flags.run !== undefined) return 'run';
  return flags.stdio ? 'stdio' : 'foreground';
}

function readListenPort(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new PamError('PAM_USAGE', `--port: “${text}” is not a port from 0 to 65535`);
}

function readTimeout(text: string): number {
  const seconds = Number(text);
  if (/^\d{1,4}(\.\d+)?$/.test(text) && seconds > 0) return Math.round(seconds * 1_000);
  throw new PamError('PAM_USAGE', `--timeout: “${text}” is not a number of seconds`);
}
