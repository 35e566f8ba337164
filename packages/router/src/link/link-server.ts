import { randomBytes } from 'node:crypto';
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  type ApplicationUid,
  drainLimits,
  type EndReason,
  type GatewayUid,
  type InstanceId,
  type ItemUid,
  type LinkParams,
  type LinkResult,
  linkLimits,
  type MembershipView,
  PamError,
  protocolRange,
  type StreamId,
} from '@sallyport/protocol';
import { type WebSocket, WebSocketServer } from 'ws';
import type { AuditTrail, EventBody } from '../audit/index.ts';
import type { Clock } from '../clock.ts';
import { type Intent, keysReplaced, type PoolEffects, type PoolService } from '../pool/index.ts';
import type { LogGateway } from '@sallyport/seal';
import type { JobLinks, RotationService } from '../rotation/index.ts';
import type { SessionLinks, SessionService, Unwanted } from '../session/index.ts';
import type { TrustLog } from '../trust/index.ts';
import type { VaultStore } from '../vault/index.ts';
import { checkHello } from './check-hello.ts';
import type { EchoDesk } from './echo-desk.ts';
import { type Link, type LinkEnd, linkClose, openLink } from './link.ts';
import type { AcceptEvents } from './stream-events.ts';
import { createWhereabouts } from './whereabouts.ts';

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
/** Made after the links, because they need them. */
interface LinkServices {
  readonly pool: PoolService;
  readonly sessions: SessionService;
  readonly rotation: RotationService;
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

const strangers = { inAll: 512, perAddress: 64 } as const;
const rememberedAddresses = 20_000;
const dispatchTimeoutMs = 8_000;
const resumeTimeoutMs = 2_000;
const offerTimeoutMs = 8_000;
const revokedLegsMs = 1_000;

/** On top of it comes the instance's own jitter. */
const busyRetrySeconds = 5;

function refuseUpgrade(socket: Duplex, status: string): void {
  socket.on('error', () => socket.destroy());
  const later = status.startsWith('503') ? `retry-after: ${busyRetrySeconds}\r\n` : '';
  // HTTP lets go of an upgraded socket: without an end of ours, who never hangs up would hold its descriptor for ever.
  socket.end(`HTTP/1.1 ${status}\r\n${later}connection: close\r\ncontent-length: 0\r\n\r\n`, () => socket.destroy());
}

export function createLinkServer(deps: LinkServerDeps): LinkServer {
  const { clock, trust, audit } = deps;
  const wss = new WebSocketServer({
    noServer: true,
    maxPayload: linkLimits.messageBytes,
    perMessageDeflate: false,
    autoPong: false,
    clientTracking: false,
  });
  const links = new Map<string, Link>();
  /** Those of `links` that are no members yet: at most `strangers.inAll`, whatever the number of the others. */
  const unproved = new Map<string, Link>();
  const whereabouts = createWhereabouts({
    reserveMs: deps.reserveMs,
    graceMs: () => services?.pool.graceMs() ?? deps.graceMs,
    monotonicMs: clock.monotonicMs,
    after: clock.after,
  });
  const byInstance = new Map<InstanceId, Link>();
  const known = new Set<string>();
  let services: LinkServices | null = null;
  let isTaking = true;
  let nextId = 1;

  function use(): LinkServices {
    if (services === null) throw new PamError('PAM_INTERNAL', 'links were opened before the pool was there');
    return services;
  }
  const note = (kind: string, body: EventBody): void => audit.later(kind, body);
  /** The deadline goes out as time left. */
  const wanted = (intent: Intent): LinkParams<'link.intent'>['intent'] => {
    if (intent.kind !== 'drain') return intent;
    const { kind, by, deadlineAtMs } = intent;
    const deadlineInMs = Math.min(Math.max(0, deadlineAtMs - clock.nowMs()), drainLimits.deadlineMs);
    return { kind, by, deadlineAtMs, deadlineInMs };
  };

  function tooManyStrangers(address: string): boolean {
    const here = [...unproved.values()].filter((link) => link.address === address);
    return unproved.size >= strangers.inAll || here.length >= strangers.perAddress;
  }

  async function hello(
    link: Link,
    ticket: string,
    nonce: string,
    params: LinkParams<'link.hello'>,
  ): Promise<LinkResult<'link.hello'>> {
    const { pool, sessions } = use();
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
    if (answer.intent.kind !== 'serve') link.intend(wanted(answer.intent));
    byInstance.set(instance, link);
    // Once it has heard that it may: what waits for somebody is offered again.
    clock.after(0, () => services?.rotation.wake());
    remember(link.address);
    whereabouts.joined(instance);
    const wraps = await deps.vault.listWraps({ recipients: [gateway.boxKeyId], app: gateway.app });
    const toEnd = await sessions.rejoin({
      gateway: uid,
      instance,
      running: params.streams,
      routedBeforeMs: link.openedAtMs,
    });
    if (toEnd.length > 0) clock.after(0, () => endEach(instance, toEnd));
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

  /** Those at whose door a flood would stand between us and our instances; the oldest goes when there are too many. */
  function remember(address: string): void {
    known.delete(address);
    known.add(address);
    const [oldest] = known.size > rememberedAddresses ? known : [];
    if (oldest !== undefined) known.delete(oldest);
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

  function onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (request.url?.split('?')[0] !== '/v1/link') return refuseUpgrade(socket, '404 Not Found');
    if (services === null || !isTaking) return refuseUpgrade(socket, '503 Service Unavailable');
    const address = deps.addressOf(request.socket);
    if (tooManyStrangers(address)) return refuseUpgrade(socket, '503 Service Unavailable');
    let reset = false;
    socket.on('error', () => {
      reset = true;
      socket.destroy();
    });
    wss.handleUpgrade(request, socket, head, (ws) => {
      ws.on('error', () => ws.terminate());
      open(ws, request.socket, address, () => reset);
    });
  }

  /** @returns whether there is a link to say it on. */
  function endStreams(instance: InstanceId, streams: readonly StreamId[], reason: EndReason, words = ''): boolean {
    const peer = byInstance.get(instance)?.peer;
    const said = words === '' ? {} : { words };
    for (let i = 0; i < streams.length; i += 1_000) {
      peer?.notify('stream.end', { streams: streams.slice(i, i + 1_000), reason, ...said });
    }
    return peer !== undefined;
  }

  /** Ends what an instance that came back runs and should not: killed meanwhile, or not known here. */
  function endEach(instance: InstanceId, unwanted: readonly Unwanted[]): void {
    const killed = unwanted.filter((each) => each.words !== null);
    for (const { stream, words } of killed) endStreams(instance, [stream], 'killed', words ?? '');
    const rest = unwanted.filter((each) => each.words === null).map((each) => each.stream);
    if (rest.length > 0) endStreams(instance, rest, 'router-restarted');
  }

  function changed(items: readonly ItemUid[], app: ApplicationUid | null): void {
    const head = trust.head();
    if (head === null) return;
    for (const link of byInstance.values()) {
      const mine = link.member()?.app === app ? items.slice(0, 200) : [];
      link.peer.notify('vault.changed', { head, items: [...mine] });
    }
  }

  const forPool: PoolEffects = {
    tell: (id, membership: MembershipView) => {
      const link = links.get(id);
      const member = link?.member();
      if (link === undefined) return;
      void link.tell(membership).then((acknowledged) => {
        if (!acknowledged || membership.kind !== 'slot') return;
        services?.pool.acknowledged(id, membership.epoch);
        if (member)
          note('instance.promoted', { gateway: member.gateway, instance: member.instance, epoch: membership.epoch });
      });
    },
    intend: (id, intent) => links.get(id)?.intend(wanted(intent)),
    cut: (id, error) => {
      const link = links.get(id);
      // Not in the pool's own turn: its registers are being changed.
      if (link !== undefined) clock.after(0, () => link.cut(linkClose.replaced, error));
    },
    lost: (gateway, instance) => {
      whereabouts.lost(instance);
      note('instance.lost', { gateway, instance });
      lose(instance);
    },
    duplicate: (instance, keptLink, refusedLink) => {
      const kept = links.get(keptLink)?.address ?? 'gone';
      const refused = links.get(refusedLink)?.address ?? 'gone';
      links.get(keptLink)?.peer.notify('link.duplicate', { from: refused, atMs: clock.nowMs() });
      note('instance.duplicate', { instance, kept, refused });
      deps.log('warn', 'two processes use one instance identity', { instance, kept, refused });
    },
    ejected: ({ gateway, instance, resource }, how) => {
      if (how === null) return deps.log('info', 'instance reaches the target again', { gateway, instance, resource });
      const seconds = Math.round(how.forMs / 1_000);
      deps.log('warn', 'instance cannot reach a target that another reaches: passed over for it', {
        ...{ gateway, instance, resource, seconds },
        times: how.times,
      });
    },
    failed: (error) => deps.log('error', 'the pool could not be stored', { code: error.code, error: error.message }),
  };

  return {
    attach: (https) => {
      https.on('upgrade', onUpgrade);
    },
    use: (made) => {
      services = made;
    },
    forPool,
    forSessions: {
      dispatch: async (id, params) => {
        const link = links.get(id);
        if (link === undefined) throw new PamError('PAM_LEG_FAILED', 'the control link closed');
        return link.peer.call('stream.dispatch', params, { timeoutMs: dispatchTimeoutMs });
      },
      resume: async (instance, params) => {
        if (!byInstance.has(instance)) await whereabouts.arrival(instance);
        const link = byInstance.get(instance);
        if (link === undefined) return whereabouts.explain(instance);
        return link.peer.call('stream.resume', params, { timeoutMs: resumeTimeoutMs });
      },
      forget: (id, stream, ticket) => links.get(id)?.peer.notify('stream.forget', { stream, ticket }),
      end: endStreams,
      park: (id, tickets) => links.get(id)?.peer.notify('leg.park', { tickets: [...tickets] }),
    },
    forJobs: {
      offer: async (id, params) => {
        const link = links.get(id);
        if (link === undefined) throw new PamError('PAM_LEG_FAILED', 'the control link closed');
        return link.peer.call('job.offer', params, { timeoutMs: offerTimeoutMs });
      },
      kinds: async (id) => {
        const link = links.get(id);
        if (link === undefined) throw new PamError('PAM_LEG_FAILED', 'the control link closed');
        return link.peer.call('kind.list', {}, { timeoutMs: offerTimeoutMs });
      },
      cancel: (instance, job) => byInstance.get(instance)?.peer.notify('job.cancel', { job }),
      changed,
    },
    changed,
    gatewayRemoved: (gateway) => endGateway(gateway, () => undefined),
    gatewayRekeyed: (gateway) => endGateway(gateway, lose),
    count: () => byInstance.size,
    remember: (addresses) => addresses.forEach(remember),
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
