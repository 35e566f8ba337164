import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import {
  type ApplicationUid,
  type GatewayUid,
  type Head,
  type InstanceId,
  type ItemUid,
  type LinkParams,
  type LinkResult,
  PamError,
  protocolRange,
} from '@sallyport/protocol';
import type { LogGateway } from '@sallyport/seal';
import type { WebSocket } from 'ws';
import type { AuditTrail, EventBody } from '../audit/index.ts';
import type { Clock } from '../clock.ts';
import { keysReplaced, type PoolEffects, type PoolService } from '../pool/index.ts';
import type { JobLinks, RotationService } from '../rotation/index.ts';
import type { SessionLinks, SessionService } from '../session/index.ts';
import type { TrustLog } from '../trust/index.ts';
import type { VaultStore } from '../vault/index.ts';
import { createCallsOnLinks } from './calls-on-links.ts';
import { checkHello } from './check-hello.ts';
import { createDoor } from './door.ts';
import type { EchoDesk } from './echo-desk.ts';
import { createKnownAddresses } from './known-addresses.ts';
import { type Link, type LinkEnd, linkClose, openLink } from './link.ts';
import { newLinkTable } from './link-table.ts';
import { createPoolEffects } from './pool-effects.ts';
import type { AcceptEvents } from './stream-events.ts';
import { wantedIntent } from './wanted-intent.ts';
import { createWhereabouts } from './whereabouts.ts';

/** What the control links stand on. */
export interface LinkServerDeps {
  /** The client's address, also behind a balancer. */
  readonly addressOf: (socket: Socket) => string;
  /** The hello of the link on this connection was answered. */
  readonly decided: (socket: Socket) => void;
  readonly clock: Clock;
  readonly trust: TrustLog;
  readonly vault: VaultStore;
  readonly audit: AuditTrail;
  readonly echo: EchoDesk;
  /** Makes an echo ticket known to the relay. */
  readonly expectEcho: (ticket: string) => Promise<void>;
  readonly routerPin: string;
  readonly version: string;
  readonly promoteMs: number;
  readonly beatMs: number;
  /** RJ and RG: how long an instance whose link closed is waited for. */
  readonly reserveMs: number;
  readonly graceMs: number;
  readonly acceptEvents: AcceptEvents;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, string | number>) => void;
}
/** What is done about what a restored router lost. */
interface RestoreLinks {
  giveBack(entries: readonly string[], by: EventBody): Promise<Head>;
  cameBack(instance: InstanceId): void;
}
/** Made after the links, because they need them. */
interface LinkServices {
  readonly pool: PoolService;
  readonly sessions: SessionService;
  readonly rotation: RotationService;
  readonly restore: RestoreLinks;
}

/**
 * The control links: `/v1/link`, one WebSocket per instance.
 *
 * K1 links without a verified hello are few (in all, and from one address) and live 10 s.
 * K2 the pool hears of every admitted link's end exactly once.
 */
export interface LinkServer {
  attach(https: Server): void;
  use(services: LinkServices): void;
  readonly forSessions: SessionLinks;
  readonly forJobs: JobLinks;
  readonly forPool: PoolEffects;
  changed(items: readonly ItemUid[], app: ApplicationUid | null): void;
  gatewayRemoved(gateway: GatewayUid): void;
  gatewayRekeyed(gateway: GatewayUid): void;
  count(): number;
  /** These instances were admitted before this router started: they will come back, and go before strangers. */
  remember(addresses: readonly string[]): void;
  /** Was an instance admitted from this address? */
  isKnown(address: string): boolean;
  /** Links without a verified hello. */
  strangers(): number;
  /** Takes no new link from here on: the router is about to stop. */
  stopTaking(): void;
  /** Tells everybody and cuts all. */
  close(): void;
}

const revokedLegsMs = 1_000;

export function createLinkServer(deps: LinkServerDeps): LinkServer {
  const { clock, trust, audit } = deps;
  const table = newLinkTable();
  const { links, unproved, byInstance } = table;
  const whereabouts = createWhereabouts({
    reserveMs: deps.reserveMs,
    graceMs: () => services?.pool.graceMs() ?? deps.graceMs,
    monotonicMs: clock.monotonicMs,
    after: clock.after,
  });
  const known = createKnownAddresses();
  let services: LinkServices | null = null;
  let isTaking = true;
  let nextId = 1;

  function use(): LinkServices {
    if (services === null) throw new PamError('PAM_INTERNAL', 'links were opened before the pool was there');
    return services;
  }
  const note = (kind: string, body: EventBody): void => audit.later(kind, body);

  async function hello(
    link: Link,
    ticket: string,
    nonce: string,
    params: LinkParams<'link.hello'>,
  ): Promise<LinkResult<'link.hello'>> {
    const { pool, sessions, restore } = use();
    const { gateway: uid, instance } = params;
    const log = trust.state();
    const { gateway, publicJwk } = await checkHello(params, {
      log,
      nonce,
      routerPin: deps.routerPin,
      nowMs: clock.nowMs(),
    });
    await deps.echo.wait(ticket);
    checkStillThePool(link, gateway);
    const join = { gateway: uid, instance, noStandby: params.noStandby, host: params.host };
    const answer = await pool.hello(
      link.id,
      { ...join, version: params.version, address: link.address },
      params.maxStreams ?? null,
    );
    checkStillThePool(link, gateway);
    deps.acceptEvents.know(instance, publicJwk);
    link.become({ gateway: uid, instance, app: gateway.app });
    unproved.delete(link.id);
    if (answer.intent.kind !== 'serve') link.intend(wantedIntent(answer.intent, clock.nowMs()));
    byInstance.set(instance, link);
    restore.cameBack(instance);
    // Once it has heard that it may: what waits for somebody is offered again.
    clock.after(0, () => services?.rotation.wake());
    known.remember(link.address);
    whereabouts.joined(instance);
    const wraps = await deps.vault.listWraps({ recipients: [gateway.boxKeyId], app: gateway.app });
    const toEnd = await sessions.rejoin({
      gateway: uid,
      instance,
      running: params.streams,
      routedBeforeMs: link.openedAtMs,
    });
    if (toEnd.length > 0) clock.after(0, () => said.endEach(instance, toEnd));
    note('instance.joined', {
      gateway: uid,
      instance,
      membership: answer.membership.kind,
      from: link.address,
      streams: params.streams.length,
    });
    const head = trust.head();
    if (head === null) throw new PamError('PAM_ROUTER_NOT_CLAIMED', 'this router has no owner yet');
    const { membership, maxInstances, admitted, beatMs, suspectMs } = answer;
    return { membership, maxInstances, admitted, beatMs, suspectMs, head, wraps: wraps.slice(0, 300) };
  }

  /** The keys may have been replaced since the hello was checked: who came under the old ones goes at once. */
  function checkStillThePool(link: Link, was: LogGateway): void {
    if (trust.state().gateways.get(was.uid)?.signKeyId === was.signKeyId) return;
    const error = keysReplaced(was.uid);
    clock.after(0, () => link.cut(linkClose.refused, error));
    throw error;
  }

  /** Everything that runs on this gateway's instances ends: they are told, and their legs are cut. */
  function endGateway(gateway: GatewayUid, then: (instance: InstanceId) => void): void {
    for (const [instance, link] of byInstance) {
      if (link.member()?.gateway !== gateway) continue;
      link.peer.notify('stream.end', { streams: [], reason: 'stopped' });
      clock.after(revokedLegsMs, () => {
        services?.sessions.cutLegs(instance);
        then(instance);
      });
    }
  }
  const lose = (instance: InstanceId): void => {
    void services?.sessions.lose(instance).catch((error: unknown) => {
      deps.log('error', 'streams of a lost instance could not be recorded', { instance, error: String(error) });
    });
  };

  function closed(link: Link, echoTicket: string, how: LinkEnd): void {
    deps.echo.forget(echoTicket);
    links.delete(link.id);
    unproved.delete(link.id);
    const member = link.member();
    if (member !== null) {
      if (byInstance.get(member.instance) === link) {
        byInstance.delete(member.instance);
        whereabouts.left(member.instance, how, byInstance.size);
        services?.sessions.parks.forget(member.instance);
      }
      note('instance.left', { gateway: member.gateway, instance: member.instance });
    }
    services?.pool.linkClosed(link.id);
  }

  function open(ws: WebSocket, socket: Socket, address: string, isReset: () => boolean): void {
    const id = `l${nextId++}`;
    const nonce = randomBytes(32).toString('base64url');
    const echoTicket = randomBytes(32).toString('base64url');
    const start = (): void => {
      const link = openLink(ws, {
        id,
        address,
        clock,
        challenge: { nonce, timeMs: clock.nowMs(), version: deps.version, protocol: protocolRange, echoTicket },
        promoteMs: deps.promoteMs,
        idleBeatMs: deps.beatMs,
        hello: async (which, params) => {
          try {
            return await hello(which, echoTicket, nonce, params);
          } catch (reason) {
            const code = reason instanceof PamError ? reason.code : 'PAM_INTERNAL';
            note('instance.refused', { gateway: params.gateway, instance: params.instance, code, from: address });
            deps.log('warn', 'instance refused', { instance: params.instance, gateway: params.gateway, code });
            throw reason;
          } finally {
            deps.echo.forget(echoTicket);
            deps.decided(socket);
          }
        },
        bye: async (which, params) => {
          const member = which.member();
          if (member !== null) whereabouts.left(member.instance, 'bye', byInstance.size);
          await use().pool.bye(which.id, params.reason);
          if (member === null) return;
          note('instance.bye', { gateway: member.gateway, instance: member.instance, reason: params.reason });
          // It reported what it could before; what it could not would be shown as running for as long as its session lasts.
          if (byInstance.get(member.instance) === which) lose(member.instance);
          await use().rotation.left(member.instance);
        },
        drain: async (which, { deadlineInMs }) => {
          const member = which.member();
          if (member === null) return;
          const { gateway, instance } = member;
          await use().pool.drainItself(which.id, clock.nowMs() + deadlineInMs);
          note('instance.draining', { gateway, instance, deadlineInMs });
        },
        readLog: (from) => trust.read(from),
        giveBack: async ({ entries }) => ({ head: await use().restore.giveBack(entries, { from: address }) }),
        events: async (which, params) => {
          const member = which.member();
          if (member !== null) await deps.acceptEvents.accept(member.instance, params, use().sessions);
        },
        jobs: (member) => services?.rotation.handlersOf(member) ?? {},
        beat: (which, ping) => use().pool.beat(which.id, ping),
        closed: (which, how) => closed(which, echoTicket, how),
        isReset,
        unexpected: (what, error) => deps.log('error', 'control link handler failed', { what, error: String(error) }),
      });
      links.set(id, link);
      unproved.set(id, link);
    };
    deps.echo.expect(echoTicket);
    void deps.expectEcho(echoTicket).then(start, (error: unknown) => {
      deps.echo.forget(echoTicket);
      deps.log('error', 'no echo ticket', { error: String(error) });
      ws.terminate();
    });
  }

  function changed(items: readonly ItemUid[], app: ApplicationUid | null): void {
    const head = trust.head();
    if (head === null) return;
    for (const link of byInstance.values()) {
      const mine = link.member()?.app === app ? items.slice(0, 200) : [];
      link.peer.notify('vault.changed', { head, items: [...mine] });
    }
  }

  const said = createCallsOnLinks({ table, whereabouts, changed });
  const forPool = createPoolEffects({
    ...{ table, clock, whereabouts, note, lose, log: deps.log },
    pool: () => services?.pool,
  });
  const onUpgrade = createDoor({
    addressOf: deps.addressOf,
    isTaking: () => services !== null && isTaking,
    unproved,
    open,
  });

  return {
    attach: (https) => {
      https.on('upgrade', onUpgrade);
    },
    use: (made) => {
      services = made;
    },
    forPool,
    forSessions: said.forSessions,
    forJobs: said.forJobs,
    changed,
    gatewayRemoved: (gateway) => endGateway(gateway, () => undefined),
    gatewayRekeyed: (gateway) => endGateway(gateway, lose),
    count: () => byInstance.size,
    remember: (addresses) => addresses.forEach(known.remember),
    isKnown: (address) => known.has(address),
    strangers: () => unproved.size,
    stopTaking: () => {
      isTaking = false;
    },
    close: () => {
      for (const link of [...links.values()])
        link.cut(linkClose.replaced, new PamError('PAM_ROUTER_STOPPING', 'the router stops'));
    },
  };
}
