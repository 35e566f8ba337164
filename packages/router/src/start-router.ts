import { hostname } from 'node:os';
import { PamError, productVersion } from '@sallyport/protocol';
import { newSetupCode } from '@sallyport/seal';
import { alertRules } from './alert/index.ts';
import { createBrakes } from './http/brakes.ts';
import { createRestoreDesk } from './http/restore-desk.ts';
import { takeKeptEntries } from './http/take-kept-entries.ts';
import { type Closing, createClosing } from './program/closing.ts';
import type { RouterParts } from './http/router-parts.ts';
import { openApi, openDoors } from './program/open-doors.ts';
import { openGround } from './program/open-ground.ts';
import { createSetupDesk, type SetupDesk } from './program/setup-desk.ts';
import { startAlerts } from './program/start-alerts.ts';
import { writeStateFile } from './program/state-file.ts';
import { whenQuiet } from './program/when-quiet.ts';
import { wireRotation } from './program/wire-rotation.ts';
import { wireServices } from './program/wire-services.ts';
import type { Relay } from './relay/index.ts';
import type { RouterSettings, RunningRouter } from './router-settings.ts';

const sweepMs = 30_000;
const headEveryMs = 10_000;
const settledMs = 3_000;

/** `1.2.3.4:5`, `[::1]:5`. */
function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * Starts a router: store, identity, trust log, pool, relay, API and control links, in this order; what was opened is
 * closed again when a later step fails.
 *
 * @throws PAM_ROUTER_RUNNING, PAM_PORT_IN_USE, PAM_CONFIG_INVALID, PAM_STORE_* and what the trust log's check finds.
 */
export async function startRouter(settings: RouterSettings): Promise<RunningRouter> {
  const closing = createClosing((error) => settings.log.error('closing failed', { error: String(error) }));
  const { relay } = settings;
  if (relay !== null) closing.add(() => relay.close());
  try {
    return await start(settings, closing);
  } catch (reason) {
    await closing.run();
    throw reason;
  }
}

async function start(settings: RouterSettings, closing: Closing): Promise<RunningRouter> {
  const { log } = settings;
  const ground = await openGround(settings, closing);
  const { clock, timing, watch, store, identity, opaque, trust, audit, failed } = ground;
  let opened: Relay | null = null;
  const relayOf = (): Relay => {
    if (opened === null) throw new PamError('PAM_INTERNAL', 'the relay was asked before it was started');
    return opened;
  };
  const services = wireServices(settings, ground, relayOf, closing);
  const { links, pool, matches, sessions } = services;

  const rotation = await wireRotation(settings, ground, services);

  const setup: SetupDesk = createSetupDesk(settings.dataDir, store.identity, clock.nowMs);
  const publicName = (): string => {
    const everywhere = settings.listen === '0.0.0.0' || settings.listen === '::';
    return settings.publicName ?? hostPort(everywhere ? hostname() : settings.listen, relayOf().port);
  };
  const describe = (claimed: boolean, pid: number | null): void =>
    writeStateFile(settings.dataDir, {
      v: 1,
      pid,
      host: settings.listen,
      port: relayOf().port,
      publicName: publicName(),
      pin: identity.pin,
      claimed,
      version: productVersion,
    });
  const told = (message: string, fields: Record<string, string | number>): void => log.warn(message, fields);
  const restore = createRestoreDesk({ store, trust, audit, pool, clock }, links, ground.restoreMark, told);
  const parts: RouterParts = {
    store,
    trust,
    audit,
    identity,
    opaque,
    pool,
    sessions,
    rotation,
    clock,
    brakes: createBrakes(clock.monotonicMs, watch.figures.braked),
    freshSetup: setup.fresh,
    claimed: () => describe(true, process.pid),
    version: productVersion,
  };
  const api = await openApi(settings, ground, services, parts, restore);
  links.use({ pool, sessions, rotation, restore });
  await pool.start();
  await takeKeptEntries(store.identity, restore, trust.state().head.n, told);
  const mark = ground.restoreMark.now();
  if (mark?.closed === true) {
    log.warn('restored from a backup: no new entry of the trust log is taken before pam trust reopen', {
      incarnation: mark.incarnation,
    });
  }
  links.remember(pool.list().flatMap(({ instances }) => instances.map(({ ipAddress }) => ipAddress)));
  closing.add(() => pool.stop());
  const { relay, carriers, apiConnections } = await openDoors(settings, ground, services, api, closing);
  opened = relay;

  sessions.start();
  closing.add(() => sessions.stop());
  await rotation.start();
  closing.add(() => rotation.stop());
  closing.add(
    clock.every(sweepMs, () => {
      store.identity.sweepExpired({ nowMs: clock.nowMs() }).catch(failed('expired sign-ins cannot be removed'));
    }),
  );
  closing.add(clock.every(headEveryMs, () => void audit.signedHead().catch(failed('the audit head cannot be signed'))));

  const claimed = trust.head() !== null;
  describe(claimed, process.pid);
  closing.add(() => describe(trust.head() !== null, null));
  const code = claimed ? null : await newSetupCode(identity.pin);
  if (code !== null) await setup.put(code.secretHash);
  watch.begin({ trustStore: store.trust, relay, carriers, pool, links, sessions, rotation, audit, apiConnections });
  if (settings.alerts !== null) {
    const { endpoint, times } = settings.alerts;
    const rules = alertRules(times, timing.graceMs);
    closing.add(
      startAlerts({
        endpoint,
        rules,
        dataDir: settings.dataDir,
        router: identity.pin,
        watch,
        pool,
        rotation,
        clock,
        log,
      }),
    );
  }
  if (watch.place !== null) log.info('metrics served', { host: watch.place.host, port: watch.place.port });
  log.info('router ready', {
    host: settings.listen,
    port: relay.port,
    store: store.engine,
    claimed: claimed ? 'yes' : 'no',
  });
  return {
    host: settings.listen,
    port: relay.port,
    publicName: publicName(),
    pin: identity.pin,
    setupCode: code?.code ?? null,
    pid: process.pid,
    relayPid: relay.pid,
    metrics: watch.place,
    settled: (then) => closing.add(clock.after(settledMs, then)),
    drain: (deadlineInMs) => {
      watch.stopping();
      sessions.stopTaking();
      links.stopTaking();
      audit.later('router.draining', { streams: matches.count(), deadlineInMs });
      log.info('router drains', { streams: matches.count(), deadlineSeconds: Math.round(deadlineInMs / 1_000) });
      return whenQuiet(clock, matches.isQuiet, deadlineInMs);
    },
    stop: () => {
      watch.stopping();
      return closing.run();
    },
  };
}
