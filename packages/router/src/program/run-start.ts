import { PamError, productVersion } from '@sallyport/protocol';
import type { Command } from 'commander';
import { beginRelay } from '../relay/index.ts';
import type { RouterSettings, RunningRouter } from '../router-settings.ts';
import { alertSettingsOf } from './alert-settings.ts';
import { keepCompiled } from './compile-cache.ts';
import { startSettingsOf } from './flags.ts';
import type { HeadStart } from './head-start.ts';
import { oneLine, reportError } from './report-error.ts';
import { createRouterLog } from './router-log.ts';

/**
 * Runs the router until a signal, the end of stdin (with --exit-with-stdin) or an error that it cannot go on after.
 *
 * A first SIGTERM or SIGINT drains for at most --drain-deadline, stops in order and exits 0; a second one exits at once
 * with 130. The end of stdin stops without a drain: whoever started it is gone.
 *
 * @returns the exit code.
 */
export async function runStart(command: Command, early: HeadStart | null): Promise<number> {
  const settings = startSettingsOf(command);
  const alerts = alertSettingsOf(settings);
  const log = createRouterLog(settings.logLevel, settings.logFormat, (line) => process.stderr.write(line));
  const { promise: signalled, resolve: onFirstSignal } = Promise.withResolvers<'signal'>();
  const { promise: stdinOver, resolve: onStdinEnd } = Promise.withResolvers<void>();
  const fatal = (error: unknown): void => {
    log.error('the router cannot go on', { error: oneLine(error) });
    process.exit(reportError(error));
  };
  process.on('uncaughtException', fatal);
  process.on('unhandledRejection', fatal);
  let signals = 0;
  const onSignal = (): void => {
    signals += 1;
    if (signals > 1) process.exit(130);
    onFirstSignal('signal');
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  if (settings.exitWithStdin === true) {
    process.stdin
      .on('end', onStdinEnd)
      .on('error', () => onStdinEnd())
      .resume();
  }

  // Whoever dials from now on waits for an answer instead of dialling again: the rest is loaded and opened meanwhile.
  const place = { listen: settings.listen, port: settings.port, balancers: settings.proxyProtocolFrom ?? [] };
  const relay = beginRelay(
    {
      host: place.listen,
      port: place.port,
      balancers: place.balancers,
      log: (level, message, fields) => log[level](message, fields),
    },
    early?.takeRelay() ?? null,
  );
  const router = await startNamingFlags({
    dataDir: settings.dataDir,
    ...place,
    publicName: settings.publicName ?? null,
    databaseUrl: settings.databaseUrl ?? null,
    alerts,
    metricsListen: settings.metricsListen ?? null,
    relay,
    storeWorker: settings.databaseUrl === undefined ? (early?.takeStore() ?? null) : null,
    timing: settings.timing,
    acceptClock: settings.acceptClock ?? false,
    log,
    onFatal: fatal,
  });
  printReady(router);
  router.settled(keepCompiled);
  // Nothing else holds the process: its sockets belong to the relay, its timers are let go.
  const why = await Promise.race([signalled, stdinOver]);
  if (why === 'signal') await Promise.race([router.drain(1_000 * settings.drainDeadline), stdinOver]);
  log.info('router stops');
  await router.stop();
  process.stdin.destroy(); // an open stdin would hold the process
  return 0;
}

/** The remedy names the flag. */
async function startNamingFlags(settings: RouterSettings): Promise<RunningRouter> {
  try {
    const { startRouter } = await import('../start-router.ts');
    return await startRouter(settings);
  } catch (reason) {
    // Another flag's port is named by its own remedy.
    const isOurs = reason instanceof PamError && reason.code === 'PAM_PORT_IN_USE' && !('flag' in reason.detail);
    if (!isOurs) throw reason;
    throw new PamError('PAM_PORT_IN_USE', reason.message, {
      cause: reason,
      detail: reason.detail,
      remedy: 'Choose another with --port (0 = any free one), or stop the process that holds it.',
    });
  }
}

function printReady(router: RunningRouter): void {
  const host = router.host.includes(':') ? `[${router.host}]` : router.host;
  process.stdout.write(`sallyport router ${productVersion} ready on ${host}:${router.port}\n`);
  if (router.setupCode !== null) process.stdout.write(`pam setup ${router.publicName} ${router.setupCode}\n`);
}
