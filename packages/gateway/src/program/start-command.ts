import { isRouterAway, PamError } from '@sallyport/protocol';
import { carrierChoices, type Reach, readReach } from '@sallyport/stream';
import { systemRuntime } from '../agent/index.ts';
import { version } from '../version.ts';
import { defaultMaxStreams, type RunningInstance, startInstance } from './instance.ts';
import {
  folderFor,
  type JoinSource,
  noJoinSource,
  obtainJoin,
  type ObtainedJoin,
  pickJoinSource,
} from './join-source.ts';
import { readListenPlace } from './listen-place.ts';
import { createProgramLog, logFormats, logLevels, oneOf } from './program-log.ts';
import type { Settings } from './settings.ts';
import { claimStateFolder, defaultHome } from './state-folder.ts';
import { openStopSignals } from './stop-signals.ts';
import type { TakenSecrets } from './take-secrets.ts';
import { readAllStdin, writeLine } from './system-stdio.ts';

const defaultDrainSeconds = 300;
const redialMaxMs = 10_000;
const identityLastsMs = 60_000;

type ProgramLog = ReturnType<typeof createProgramLog>;

function logOf(settings: Settings): ProgramLog {
  const usual = process.stdout.isTTY ? 'text' : 'json';
  return createProgramLog({
    format: oneOf('log-format', settings.text('log-format') ?? usual, logFormats),
    level: oneOf('log-level', settings.text('log-level') ?? 'info', logLevels),
    write: writeLine,
  });
}

/** Obtains the configuration, again and again while the router of a token is down; says so once. */
async function obtainPatiently(
  source: JoinSource,
  folder: string,
  reach: Reach,
  log: ProgramLog,
  signal: AbortSignal,
): Promise<ObtainedJoin> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await obtainJoin(source, folder, reach, systemRuntime.nowMs);
    } catch (reason) {
      if (!(reason instanceof PamError) || !isRouterAway(reason.code)) throw reason;
      if (attempt === 0)
        log.warn('router not reachable, trying until it answers', {
          code: reason.code,
          error: reason.message,
          remedy: reason.remedy,
        });
      await pause(systemRuntime.random() * Math.min(redialMaxMs, 400 * 2 ** Math.min(attempt, 8)), signal);
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stop = (): void => {
    cancel();
    reject(signal.reason);
  };
  const cancel = systemRuntime.schedule(ms, () => {
    signal.removeEventListener('abort', stop);
    resolve();
  });
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  return promise;
}

/** `pam-gateway start`: runs one instance until it is told to stop or cannot go on. @returns the exit code. */
export async function runStart(settings: Settings, secrets: TakenSecrets): Promise<number> {
  const log = logOf(settings);
  const exitWithStdin = settings.isOn('exit-with-stdin');
  if (exitWithStdin && settings.text('token') === '-')
    throw new PamError('PAM_CONFIG_INVALID', '--token - and --exit-with-stdin both need stdin');
  const drainMs = 1_000 * (settings.whole('drain-deadline', { least: 0, most: 604_800 }) ?? defaultDrainSeconds);
  const detachedSeconds = settings.whole('detach-timeout', { least: 1, most: 90 });
  const maxStreams = settings.whole('max-streams', { least: 1, most: 20_000 }) ?? defaultMaxStreams;
  // By --plugin, several in one text; by environment or file also as `plugins`.
  const plugins = (settings.text('plugin') ?? settings.text('plugins') ?? '')
    .split(/[\s,]+/)
    .filter((name) => name !== '');
  const maxJobs = settings.whole('max-jobs', { least: 1, most: 64 });
  const healthPort = settings.whole('health-port', { least: 1, most: 65_535 });
  const metricsListen = settings.text('metrics-listen');
  const metricsPlace = metricsListen === undefined ? null : readListenPlace('metrics-listen', metricsListen);
  const carrier = oneOf('carrier', settings.text('carrier') ?? 'tcp', carrierChoices);
  const reach = readReach(settings.text('proxy'), process.env);
  const source = await pickJoinSource({
    configFile: settings.text('config-file'),
    token: settings.text('token'),
    environmentConfig: secrets.joinConfig,
    environmentToken: secrets.token,
    readStdin: readAllStdin,
  });
  const folder = claimStateFolder(settings.text('state-dir'), defaultHome(process.env), folderFor(source));
  if (folder === null) throw noJoinSource();
  const signals = openStopSignals({ exitWithStdin });
  try {
    const { config, from } = await obtainPatiently(source, folder.path, reach, log, signals.stopping);
    log.info('starting', {
      version,
      gateway: config.gateway,
      routers: config.routers.join(' '),
      from,
      stateDir: folder.path,
      ...(reach.proxy === null ? {} : { proxy: reach.proxy.shown }),
    });
    const begin = () =>
      startInstance({
        config,
        stateDir: folder.path,
        version,
        runtime: systemRuntime,
        log,
        reach,
        carrier,
        noStandby: settings.isOn('no-standby'),
        maxStreams,
        plugins,
        ...(maxJobs === undefined ? {} : { maxJobs }),
        ...(detachedSeconds === undefined ? {} : { detachedMs: detachedSeconds * 1_000 }),
        health: settings.isOn('listen-none') ? 'none' : (healthPort ?? 'socket'),
        ...(metricsPlace === null ? {} : { metricsListen: metricsPlace }),
      });
    return await runAsOneOfItsKind(begin, signals, drainMs, log);
  } catch (reason) {
    if (signals.stopping.aborted) return signals.exitCode();
    throw reason;
  } finally {
    signals.close();
    folder.release();
  }
}

/**
 * Runs an instance, and a new one in its place when its identity is worth nothing any more. The router knows another live
 * process under it, a machine that was cloned while it ran: what ran here ends, since it belongs to the older process. Or
 * the router lost what this one told it, restored from an older backup: it drains. Keys are made afresh. An identity that
 * was taken anew lasts a minute at least, so that nobody makes this program change it all the time.
 */
async function runAsOneOfItsKind(
  begin: () => Promise<RunningInstance>,
  signals: ReturnType<typeof openStopSignals>,
  drainMs: number,
  log: ProgramLog,
): Promise<number> {
  let changedAtMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    const instance = await begin();
    for (const { host, port } of instance.listens) log.info('health and metrics served', { host, port });
    const end = await runUntilStopped(instance, signals, drainMs, log);
    if (!(end instanceof PamError)) return end;
    if (end.code === 'PAM_INSTANCE_DUPLICATE') {
      log.warn('another live process has this identity: going on as a new instance', {
        was: instance.id,
        remedy: end.remedy,
      });
    } else if (end.code === 'PAM_AUDIT_BROKEN') {
      log.warn('the router lost what this instance told it: going on as a new instance', {
        was: instance.id,
        error: end.message,
      });
    } else throw end;
    const lastedMs = systemRuntime.monotonicMs() - changedAtMs;
    await pause(Math.max(0, identityLastsMs - lastedMs), signals.stopping);
    changedAtMs = systemRuntime.monotonicMs();
  }
}

/** Answers the exit code, or why the instance gave up. */
async function runUntilStopped(
  instance: RunningInstance,
  signals: ReturnType<typeof openStopSignals>,
  drainMs: number,
  log: ProgramLog,
): Promise<number | PamError> {
  const left = instance.left.then(() => 'drained');
  const why = await Promise.race([instance.gaveUp, instance.outlived, signals.stopped, left]);
  if (why instanceof PamError) {
    if (why.code === 'PAM_AUDIT_BROKEN') instance.drain(drainMs);
    else instance.hurry();
    void signals.stopped.then(() => instance.hurry());
    await left;
    return signals.stopping.aborted ? signals.exitCode() : why;
  }
  if (why !== 'drained') {
    log.info('stopping', { why, streams: instance.health().streams });
    instance.drain(why === 'stdin closed' ? 0 : drainMs);
  }
  // A drained one may be at its last words when it is told to hurry.
  void signals.hurried.then(() => instance.hurry());
  await left;
  log.info('stopped');
  return signals.exitCode();
}
