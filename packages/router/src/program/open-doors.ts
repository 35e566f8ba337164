import type { Socket } from 'node:net';
import { type ApiServer, createApiServer } from '../http/api-server.ts';
import { auditRoutes } from '../http/audit-routes.ts';
import type { Binding } from '../http/call.ts';
import { gatewayRoutes } from '../http/gateway-routes.ts';
import { identityRoutes } from '../http/identity-routes.ts';
import { jobRoutes } from '../http/job-routes.ts';
import { leavingRoutes } from '../http/leaving-routes.ts';
import { createPacedAccept, type PacedAccept } from '../http/paced-accept.ts';
import type { RestoreDesk } from '../http/restore-desk.ts';
import { restoreRoutes } from '../http/restore-routes.ts';
import type { RouterParts } from '../http/router-parts.ts';
import { sessionRoutes } from '../http/session-routes.ts';
import { trustRoutes } from '../http/trust-routes.ts';
import { vaultRoutes } from '../http/vault-routes.ts';
import { createReplayCache } from '../identity/index.ts';
import { type Carriers, type Relay, beginRelay, roomToWait, startCarriers } from '../relay/index.ts';
import type { RouterSettings } from '../router-settings.ts';
import type { Closing } from './closing.ts';
import type { Ground } from './open-ground.ts';
import type { Services } from './wire-services.ts';

/** Through which others reach a router. */
export interface Doors {
  readonly relay: Relay;
  readonly carriers: Carriers;
  readonly apiConnections: () => number;
}

const proofWindowMs = 130_000;

/** The HTTPS server for API and control links; it listens nowhere: its sockets come from the relay. */
export async function openApi(
  { log }: Pick<RouterSettings, 'log'>,
  ground: Ground,
  { links, addresses }: Services,
  parts: RouterParts,
  desk: RestoreDesk,
): Promise<ApiServer> {
  const { clock, watch, store, identity, trust, audit } = ground;
  const bindings: Binding[] = [
    ...identityRoutes(parts),
    ...trustRoutes(parts, links),
    ...vaultRoutes(parts, links),
    ...gatewayRoutes(parts, links),
    ...leavingRoutes(parts),
    ...sessionRoutes(parts),
    ...jobRoutes(parts, links),
    ...auditRoutes(parts),
    ...restoreRoutes(parts, links, desk),
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
  return api;
}

/** Begins to listen. @throws PAM_PORT_IN_USE, PAM_CONFIG_INVALID */
export async function openDoors(
  settings: RouterSettings,
  { clock, timing, watch, identity, audit }: Ground,
  { links, addresses, underWay, echo, matches, sessions }: Services,
  api: ApiServer,
  closing: Closing,
): Promise<Doors> {
  const { log } = settings;
  const paced = (waitingAtMost: number): PacedAccept =>
    createPacedAccept({
      clock,
      perSecond: timing.acceptsPerSecond,
      burst: timing.acceptsPerSecond,
      waitingAtMost: Math.max(1, Math.floor(waitingAtMost)),
      lateMs: timing.lagMs,
      isKnown: links.isKnown,
      closed: watch.figures.refusedAccept,
      log: log.warn,
    });
  // The HTTP server does not know its sockets (it never listened): they are ended by hand.
  const sockets = new Set<Socket>();
  const carriers = startCarriers({
    tls: identity,
    listen: settings.listen,
    port: () => relay.port,
    balancers: settings.balancers,
    log: (level, message, fields) => log[level](message, fields),
  });
  closing.add(() => carriers.close());
  const early =
    settings.relay ??
    beginRelay(
      {
        host: settings.listen,
        port: settings.port,
        balancers: settings.balancers,
        log: (level, message, fields) => log[level](message, fields),
      },
      null,
    );
  closing.add(() => early.close());
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  };
  const most = Math.min(timing.waitingConnections, roomToWait());
  // Each for itself: handshakes of legs cost the process of the carriers, not this one.
  const [accept, acceptLegs] = [paced((most * 3) / 4), paced(most / 4)];
  api.https.on('request', ({ socket }) => underWay.done(socket));
  const relay = await early.serve({
    onTls: (waiting) => {
      if (waiting.isLeg) {
        acceptLegs.offer(waiting, (socket, head, done) => {
          keep(socket);
          carriers.take(socket, head);
          done();
        });
        return;
      }
      accept.offer(waiting, (socket, head, done) => {
        socket.unshift(head);
        if (waiting.isTold) addresses.note(socket, waiting.address);
        keep(socket);
        underWay.began(socket, done);
        api.https.emit('connection', socket);
      });
    },
    onEchoed: (ticket) => echo.echoed(ticket),
    onMatched: matches.began,
    onEnded: matches.ended,
    onParked: (ticket, leg) => sessions.parks.parked(ticket, leg),
    onParkedLost: (leg) => sessions.parks.lost(leg),
    onRestarted: () => audit.later('relay.restarted', {}),
  });
  closing.add(() => {
    for (const socket of sockets) socket.destroy();
  });
  closing.add(() => api.app.close());
  closing.add(() => links.close());
  return { relay, carriers, apiConnections: () => sockets.size };
}

function describeError(error: unknown): string {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const cause = error instanceof Error && error.cause !== undefined ? ` cause: ${String(error.cause)}` : '';
  return text + cause;
}
