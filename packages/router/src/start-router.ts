import { randomBytes, randomInt } from 'node:crypto';
import type { Socket } from 'node:net';
import { hostname } from 'node:os';
import { PamError, productVersion } from '@sallyport/protocol';
import { newSetupCode } from '@sallyport/seal';
import { type AlertEndpoint, type AlertTimes, alertRules } from './alert/index.ts';
import { createAuditTrail } from './audit/index.ts';
import type { Clock } from './clock.ts';
import { createApiServer } from './http/api-server.ts';
import { auditRoutes } from './http/audit-routes.ts';
import type { Binding } from './http/call.ts';
import { gatewayRoutes } from './http/gateway-routes.ts';
import { createPacedAccept } from './http/paced-accept.ts';
import { identityRoutes } from './http/identity-routes.ts';
import { leavingRoutes } from './http/leaving-routes.ts';
import type { Brakes, RouterParts } from './http/router-parts.ts';
import { sessionRoutes } from './http/session-routes.ts';
import { trustRoutes } from './http/trust-routes.ts';
import { vaultRoutes } from './http/vault-routes.ts';
import { createOpaqueServer, createRateLimit, createReplayCache, loadRouterIdentity } from './identity/index.ts';
import { createAcceptEvents, createEchoDesk, createLinkServer } from './link/index.ts';
import { createPoolService, type PoolTiming, poolTiming } from './pool/index.ts';
import { createSetupDesk, type SetupDesk } from './program/setup-desk.ts';
import { startAlerts } from './program/start-alerts.ts';
import type { RouterLog } from './program/router-log.ts';
import { writeStateFile } from './program/state-file.ts';
import { createClientAddresses, createRunningMatches, startCarriers, startRelay } from './relay/index.ts';
import { createSessionService } from './session/index.ts';
import { openStore } from './store/index.ts';
import { systemClock } from './system-clock.ts';
import { openTrustLog } from './trust/index.ts';
import { openWatch, type WatchPlace, watchAudit, watchPool, watchSessions } from './watch/index.ts';

export interface RouterSettings {
  /** Holds the embedded store, and on both engines router.json and setup-code.json. Made when absent, mode 0700. */
  readonly dataDir: string;
  /** Address to bind. */
  readonly listen: string;
  /** 0 = any free port. */
  readonly port: number;
  /** HOST:PORT under which others reach it; the bound address when null. */
  readonly publicName: string | null;
  /** postgres://…; null = SQLite in `dataDir`. */
  readonly databaseUrl: string | null;
  /** The operator's webhook and how it is told; null = nobody is told. */
  readonly alerts: { readonly endpoint: AlertEndpoint; readonly times: AlertTimes } | null;
  /** Where /livez, /readyz and /metrics are served, over plain HTTP; null = nowhere. */
  readonly metricsListen: WatchPlace | null;
  /** Addresses and CIDRs of balancers that speak the PROXY protocol. */
  readonly balancers: readonly string[];
  readonly timing: Partial<PoolTiming>;
  readonly log: RouterLog;
  /** The router cannot go on: acknowledged state is on disk. Called at most once. */
  readonly onFatal: (error: PamError) => void;
}

export interface RunningRouter {
  readonly host: string;
  readonly port: number;
  /** HOST:PORT to be told to people. */
  readonly publicName: string;
  readonly pin: string;
  /** Null when the router has an owner. */
  readonly setupCode: string | null;
  readonly pid: number;
  readonly relayPid: number;
  /** Where the watching endpoints are; null when none were asked for. */
  readonly metrics: WatchPlace | null;
  /**
   * Takes nothing new (PAM_ROUTER_STOPPING) and waits until no stream runs through this router any more, `deadlineInMs`
   * at most. Control links stay: what ends is recorded. `stop` follows.
   */
  drain(deadlineInMs: number): Promise<void>;
  /** Stops accepting, ends links, writes what waits, closes the store. Idempotent. */
  stop(): Promise<void>;
}

const proofWindowMs = 130_000;
const sweepMs = 30_000;
const headEveryMs = 10_000;
const echoWaitMs = 2_000;
const quietEveryMs = 50;

function createBrakes(monotonicMs: () => number, hit: (what: string) => void): Brakes {
  const brake = (what: string, burst: number, everyMs: number): Brakes['token'] =>
    createRateLimit(what, { burst, everyMs, hit }, monotonicMs);
  return {
    signInName: brake('sign-ins for this name', 10, 6_000),
    signInAddress: brake('sign-ins from this address', 60, 1_000),
    setupAddress: brake('setup attempts from this address', 20, 3_000),
    recoveryAddress: brake('recovery attempts from this address', 10, 10_000),
    recoveryCode: brake('attempts with this recovery code', 10, 10_000),
    tokenAddress: brake('one-time tokens from this address', 60, 1_000),
    token: brake('attempts with this one-time token', 20, 1_000),
    // A client asks every 50 ms to 2 s; a router that starts is asked by all streams of a device at once.
    resumeStream: brake('resumes of this stream', 20, 500),
    resumeDevice: brake('resumes by this device', 4_096, 5),
  };
}

/** `1.2.3.4:5`, `[::1]:5`. */
function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function newTicket(): string {
  return randomBytes(32).toString('base64url');
}

/** Closes in the reverse order of opening, each step even if one before failed. */
function createClosing(failed: (error: unknown) => void): {
  add: (close: () => unknown) => void;
  run: () => Promise<void>;
} {
  const steps: (() => unknown)[] = [];
  let running: Promise<void> | null = null;
  async function run(): Promise<void> {
    for (const close of steps.toReversed()) {
      try {
        await close();
      } catch (reason) {
        failed(reason);
      }
    }
  }
  return { add: (close) => steps.push(close), run: () => (running ??= run()) };
}

/**
 * Starts a router: store, identity, trust log, pool, relay, API and control links, in this order; what was opened is
 * closed again when a later step fails.
 *
 * @throws PAM_ROUTER_RUNNING, PAM_PORT_IN_USE, PAM_CONFIG_INVALID, PAM_STORE_* and what the trust log's check finds.
 */
export async function startRouter(settings: RouterSettings): Promise<RunningRouter> {
  const closing = createClosing((error) => settings.log.error('closing failed', { error: String(error) }));
  try {
    return await start(settings, closing);
  } catch (reason) {
    await closing.run();
    throw reason;
  }
}

async function start(settings: RouterSettings, closing: ReturnType<typeof createClosing>): Promise<RunningRouter> {
  const { log } = settings;
  const timing = poolTiming(settings.timing);
  const clock = systemClock();
  const failed =
    (what: string) =>
    (error: unknown): void =>
      log.error(what, { error: String(error), code: error instanceof PamError ? error.code : 'PAM_INTERNAL' });

  const watch = await openWatch({ listen: settings.metricsListen, clock, failed: failed('metrics cannot be served') });
  closing.add(() => watch.close());

  const place = settings.databaseUrl === null ? { dataDir: settings.dataDir } : { databaseUrl: settings.databaseUrl };
  const store = await openStore(place, {
    nowMs: clock.nowMs,
    monotonicMs: clock.monotonicMs,
    onRan: watch.figures.ran,
    onFatal: settings.onFatal,
    onTrouble: failed('the database connection was lost'),
  });
  closing.add(() => store.close());

  const name = settings.publicName ?? settings.listen;
  const identity = await loadRouterIdentity(store.identity, [name.replace(/:\d+$/, '')], clock.nowMs());
  const opaque = await createOpaqueServer(store.identity);
  const trust = await openTrustLog(store.trust);
  const audit = watchAudit(
    createAuditTrail({
      store: store.audit,
      router: identity.pin,
      start: identity.start,
      key: identity.key,
      nowMs: clock.nowMs,
      after: clock.after,
      failed: failed('the audit log cannot be written'),
    }),
    watch,
  );
  const started = audit.event('router.started', { version: productVersion, incarnation: store.incarnation });
  audit.moved(await store.audit.appendEvents(audit.note(started)));
  closing.add(() => audit.flush());

  const echo = createEchoDesk(echoWaitMs, clock.after);
  const acceptEvents = createAcceptEvents({
    audit,
    auditStore: store.audit,
    nowMs: clock.nowMs,
    commit: async (changes, event) => {
      const [, head] = await store.together(
        (t) => [t.session.writeStreams({ changes }), t.audit.appendEvents(audit.note(event))] as const,
      );
      return head;
    },
  });
  const addresses = createClientAddresses();
  const links = createLinkServer({
    addressOf: addresses.of,
    clock,
    trust,
    vault: store.vault,
    audit,
    echo,
    expectEcho: (ticket) => relay.expect([{ ticket, role: 'echo', match: 'echo', lifeMs: 10_000 }]),
    routerPin: identity.pin,
    version: productVersion,
    promoteMs: timing.promoteMs,
    beatMs: timing.beatMs,
    reserveMs: timing.reserveMs,
    graceMs: timing.graceMs,
    acceptEvents,
    log: (level, message, fields) => log[level](message, fields),
  });
  const pool = createPoolService({
    store: store.pool,
    clock,
    timing,
    effects: links.forPool,
    random: () => randomInt(2 ** 32) / 2 ** 32,
  });
  const matches = createRunningMatches();
  const plainSessions = createSessionService({
    sessions: store.session,
    vault: store.vault,
    trust,
    pool: watchPool(pool, watch.figures),
    links: links.forSessions,
    legs: {
      expect: (match, client, instance) => {
        matches.placed(clock.monotonicMs());
        return relay.expect([
          { ticket: client, role: 'client', match },
          { ticket: instance, role: 'instance', match },
        ]);
      },
      forget: (match) => relay.forget(match),
      cut: (match) => relay.cut(match),
      expectPark: (tickets) =>
        relay.expect(tickets.map((ticket) => ({ ticket, role: 'park' as const, match: 'park' }))),
      bind: (leg, ticket) => relay.bind({ leg, ticket }),
    },
    clock,
    hedgeMs: timing.hedgeMs,
    newTicket,
    ended: (session, reason) => audit.later('session.ended', { session, reason }),
    failed: failed('streams cannot be recorded'),
  });
  const sessions = watchSessions(plainSessions, watch.figures, clock);
  closing.add(() => sessions.flush());

  const setup: SetupDesk = createSetupDesk(settings.dataDir, store.identity, clock.nowMs);
  const describe = (claimed: boolean, pid: number | null): void =>
    writeStateFile(settings.dataDir, {
      v: 1,
      pid,
      host: settings.listen,
      port: relay.port,
      publicName,
      pin: identity.pin,
      claimed,
      version: productVersion,
    });
  const parts: RouterParts = {
    store,
    trust,
    audit,
    identity,
    opaque,
    pool,
    sessions,
    clock,
    brakes: createBrakes(clock.monotonicMs, watch.figures.braked),
    freshSetup: setup.fresh,
    claimed: () => describe(true, process.pid),
    version: productVersion,
  };
  const bindings: Binding[] = [
    ...identityRoutes(parts),
    ...trustRoutes(parts, links),
    ...vaultRoutes(parts, links),
    ...gatewayRoutes(parts, links),
    ...leavingRoutes(parts),
    ...sessionRoutes(parts),
    ...auditRoutes(parts),
  ];
  const api = await createApiServer({
    addressOf: addresses.of,
    identity: store.identity,
    trust,
    clock,
    seen: createReplayCache(proofWindowMs, 400_000, clock.monotonicMs),
    seenPublic: createReplayCache(proofWindowMs, 100_000, clock.monotonicMs),
    audit,
    bindings,
    tls: identity,
    answered: watch.figures.answered,
    unexpected: (error, fields) =>
      log.error('a request failed unexpectedly', { ...fields, error: describeError(error) }),
  });
  api.https.on('secureConnection', () => watch.figures.handshake(true));
  api.https.on('tlsClientError', () => watch.figures.handshake(false));
  links.attach(api.https);
  links.use({ pool, sessions });

  const accept = createPacedAccept({
    clock,
    perSecond: timing.acceptsPerSecond,
    burst: timing.acceptsPerSecond,
    isKnown: (socket) => links.isKnown(addresses.of(socket)),
    letIn: (socket) => api.https.emit('connection', socket),
    closed: watch.figures.refusedAccept,
    log: log.warn,
  });
  // The HTTP server does not know its sockets (it never listened): they are ended by hand.
  const sockets = new Set<Socket>();
  await pool.start();
  closing.add(() => pool.stop());
  const carriers = startCarriers({
    tls: identity,
    listen: settings.listen,
    port: () => relay.port,
    balancers: settings.balancers,
    log: (level, message, fields) => log[level](message, fields),
  });
  closing.add(() => carriers.close());
  const relay = await startRelay({
    host: settings.listen,
    port: settings.port,
    balancers: settings.balancers,
    log: (level, message, fields) => log[level](message, fields),
    events: {
      onTls: (socket, from) => {
        if (from !== null) addresses.note(socket, from);
        sockets.add(socket);
        socket.once('close', () => sockets.delete(socket));
        accept.offer(socket);
      },
      onWrapped: carriers.take,
      onEchoed: (ticket) => echo.echoed(ticket),
      onMatched: matches.began,
      onEnded: matches.ended,
      onParked: (ticket, leg) => sessions.parks.parked(ticket, leg),
      onParkedLost: (leg) => sessions.parks.lost(leg),
      onRestarted: () => audit.later('relay.restarted', {}),
    },
  });
  closing.add(() => relay.close());
  closing.add(() => {
    for (const socket of sockets) socket.destroy();
  });
  closing.add(() => api.app.close());
  closing.add(() => links.close());

  sessions.start();
  closing.add(() => sessions.stop());
  closing.add(
    clock.every(sweepMs, () => {
      store.identity.sweepExpired({ nowMs: clock.nowMs() }).catch(failed('expired sign-ins cannot be removed'));
    }),
  );
  closing.add(clock.every(headEveryMs, () => void audit.signedHead().catch(failed('the audit head cannot be signed'))));

  const everywhere = settings.listen === '0.0.0.0' || settings.listen === '::';
  const publicName = settings.publicName ?? hostPort(everywhere ? hostname() : settings.listen, relay.port);
  const claimed = trust.head() !== null;
  describe(claimed, process.pid);
  closing.add(() => describe(trust.head() !== null, null));
  const code = claimed ? null : await newSetupCode(identity.pin);
  if (code !== null) await setup.put(code.secretHash);
  watch.begin({
    trustStore: store.trust,
    relay,
    carriers,
    pool,
    links,
    sessions,
    audit,
    apiConnections: () => sockets.size,
  });
  if (settings.alerts !== null) {
    const { endpoint, times } = settings.alerts;
    const rules = alertRules(times, timing.graceMs);
    closing.add(
      startAlerts({ endpoint, rules, dataDir: settings.dataDir, router: identity.pin, watch, pool, clock, log }),
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
    publicName,
    pin: identity.pin,
    setupCode: code?.code ?? null,
    pid: process.pid,
    relayPid: relay.pid,
    metrics: watch.place,
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

/** Resolves when `isQuiet`, or after `mostMs`. */
function whenQuiet(clock: Clock, isQuiet: (nowMs: number) => boolean, mostMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const untilMs = clock.monotonicMs() + mostMs;
  const stopLooking = clock.every(quietEveryMs, () => {
    const nowMs = clock.monotonicMs();
    if (nowMs < untilMs && !isQuiet(nowMs)) return;
    stopLooking();
    resolve();
  });
  return promise;
}

function describeError(error: unknown): string {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const cause = error instanceof Error && error.cause !== undefined ? ` cause: ${String(error.cause)}` : '';
  return text + cause;
}
