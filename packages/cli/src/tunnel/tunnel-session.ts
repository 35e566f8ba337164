import {
  type DeviceId,
  deviceIdSchema,
  endSession,
  type GatewayUid,
  type Head,
  type InstanceId,
  type ItemUid,
  PamError,
  resumeStream,
  routeStream,
  type SessionId,
  sessionIdSchema,
  type StreamId,
  startSession,
  type StreamOptions,
  streamIdSchema,
  streamOptionsPurpose,
  touchSession,
} from '@sallyport/protocol';
import {
  checkInstanceCertificate,
  newSessionIdentity,
  requestHash,
  requestLifeSeconds,
  requestUntilSeconds,
  sealToBox,
  signRequest,
} from '@sallyport/seal';
import {
  connectLeg,
  createStreamContext,
  decodeTicket,
  openClientStream,
  type OpenedStream,
  type LegCarrier,
  type Reattach,
  resumeClientStream,
} from '@sallyport/stream';
import type { z } from 'zod';
import { type Address, parseAddress } from '../api/address.ts';
import { jitter, type SignedIn } from '../person/signed-in.ts';
import { type Clock, nowSeconds } from '../time/clock.ts';
import { freshUid } from '../vault/vault.ts';
import { createReattach } from './redial.ts';
import type { Kept } from './tunnel-life.ts';
import { type ConnectResult, openStream, type Routed } from './stream-opener.ts';

/** What a tunnel reaches, from opened and checked facts. */
export interface TunnelTarget {
  readonly gateway: GatewayUid;
  readonly resource: ItemUid;
  /** Least revision of every item the request stands on. */
  readonly revs: Readonly<Record<string, number>>;
  /** Supplied by the user, sealed to the pool; null uses the record's. */
  readonly supplied: StreamOptions | null;
}

/** Steps of one attempt, in order: dispatched to this instance, leg matched, TLS, its first frame, dialling. */
export type AttemptStep =
  | { readonly kind: 'dispatched'; readonly instance: InstanceId }
  | { readonly kind: 'leg' | 'handshake' | 'ready' | 'dialing' };

/**
 * One tunnel at the router: a session key, a session, and its streams. Every stream carries a request of its own, signed
 * by this device, so that it takes its own turn in the pool and outlives nothing.
 *
 * A session that the router ended for being silent or restarted is replaced by a new one without a word; one that an
 * operator stopped is the end of the tunnel. What becomes of it when the sign-in ends is `tunnel-life.ts`.
 */
export interface TunnelSession {
  /** Opens one stream. The error is what the user should see. */
  open(signal: AbortSignal): Promise<SessionStream>;
  /**
   * One attempt at an instance outside `not`, without any retry: for looking, not for use. Each step is told when it is
   * done; the caller forgets the stream. Throws the PamError of the step that failed.
   */
  attempt(not: readonly InstanceId[], told: (step: AttemptStep) => void, signal: AbortSignal): Promise<ConnectResult>;
  /** Asks for a leg to the instance that holds a stream of this tunnel, also of one begun under an earlier sign-in. */
  askForLeg(session: SessionId, stream: StreamId, instance: InstanceId): Promise<z.output<typeof resumeStream.reply>>;
  /** Thumbprint of a pool's signing key as the log has it now; null when the gateway was removed. */
  poolKeyOf(gateway: GatewayUid): string | null;
  /** Keeps the session alive; answers what became of it. Throws what the router or the way to it says. */
  touch(): Promise<Kept>;
  /**
   * Keeps earlier sessions of this tunnel alive, whose sign-in may be over, for the streams that still run under them.
   * Nothing is learnt: a session that was ended ends its streams at the instance.
   */
  vouchFor(sessions: ReadonlySet<SessionId>): Promise<void>;
  /** Tells the router; best effort. */
  end(): Promise<void>;
}

export interface SessionStream {
  readonly session: SessionId;
  readonly stream: StreamId;
  readonly opened: OpenedStream;
  readonly gateway: GatewayUid;
  /** Thumbprint of the pool's key under which the instance was believed. */
  readonly poolKeyId: string;
  /** Finds another carrier to the instance that opened it; `ask` is that of the session of now, whose sign-in is good. */
  reattachBy(ask: TunnelSession['askForLeg']): Reattach;
}

/** More instances than a pool has; who believed so many begins anew. */
const mostInstances = 4_000;

export async function startTunnelSession(
  deps: { readonly clock: Clock; readonly signedIn: SignedIn; readonly carrier: LegCarrier },
  target: TunnelTarget,
): Promise<TunnelSession> {
  const { clock, signedIn, carrier } = deps;
  const { client, chain, device, log, profile } = signedIn;
  const routerAddress = parseAddress(profile.router);
  const identity = await newSessionIdentity(clock.nowMs());
  const context = createStreamContext(identity);
  const deviceId: DeviceId = deviceIdSchema.parse(device.key.id);

  /** A tunnel runs for hours: what the log says of the pool's keys may be newer than its start. */
  const catchUp = async (): Promise<void> => {
    const shown = client.shownLogHead();
    if (shown !== null && shown.n > log.state().head.n) await log.atLeast(shown);
  };
  const begin = async (): Promise<SessionId> => {
    const session = sessionIdSchema.parse(freshUid());
    const body = { session, gateway: target.gateway, resource: target.resource, workload: 'tunnel' as const };
    await chain.call(startSession, { body }, [session, target.resource, target.gateway]);
    return session;
  };
  let session = await begin();
  let replacing: Promise<SessionId> | null = null;
  const replace = async (ended: SessionId): Promise<SessionId> => {
    if (session !== ended) return session;
    replacing ??= begin().finally(() => {
      replacing = null;
    });
    session = await replacing;
    return session;
  };

  const sign = async (stream: StreamId, own: SessionId): Promise<string> => {
    const state = log.state();
    const gateway = state.gateways.get(target.gateway);
    if (gateway === undefined || gateway.removed) throw new PamError('PAM_GATEWAY_REMOVED', 'the gateway was removed');
    const iat = nowSeconds(clock);
    const sealed =
      target.supplied === null
        ? {}
        : { sealed: await sealToBox(streamOptionsPurpose, { ...target.supplied }, gateway.boxKey) };
    return signRequest(
      {
        iss: deviceId,
        aud: `gateway:${target.gateway}`,
        jti: freshUid(),
        iat,
        exp: iat + requestLifeSeconds,
        until: iat + requestUntilSeconds,
        session: own,
        stream,
        resource: target.resource,
        revs: target.revs,
        workload: 'tunnel',
        head: { n: state.head.n, hash: state.head.hash },
        cnf: identity.thumbprint,
        ...sealed,
      },
      device.key,
    );
  };

  /** Each try at an instance is a request of its own: one that was dispatched and taken back is used up there. */
  const routeWith =
    (own: SessionId, told: (step: AttemptStep) => void = () => undefined) =>
    async (stream: StreamId, not: readonly InstanceId[]): Promise<Routed> => {
      const request = await sign(stream, own);
      const hash = await requestHash(request);
      const routed = await client.call(routeStream, { params: { id: own }, body: { stream, request, not: [...not] } });
      told({ kind: 'dispatched', instance: routed.instance });
      await catchUp();
      const address: Address = routed.address === undefined ? routerAddress : parseAddress(routed.address);
      return {
        instance: routed.instance,
        probe: routed.probe === true,
        connect: async (answered, signal) => {
          const leg = await connectLeg({
            address,
            role: 'client',
            ticket: decodeTicket(routed.ticket),
            carrier,
            signal,
          });
          told({ kind: 'leg' });
          return openClientStream({
            leg,
            context,
            stream,
            signal,
            verifyInstance: async (der) => verifyInstance(der, routed.instance),
            approveReady: async (ready) => approveReady(ready, hash),
            onProgress: (step) => {
              told({ kind: step });
              if (step === 'ready') answered();
            },
          });
        },
      };
    };

  /** Instances that were verified, and the thumbprint of the pool's key that vouched for them. */
  const believedUnder = new Map<InstanceId, string>();
  const verifyInstance = async (der: Uint8Array, wanted: InstanceId): Promise<InstanceId> => {
    const gateway = log.state().gateways.get(target.gateway);
    if (gateway === undefined || gateway.removed) throw new PamError('PAM_GATEWAY_REMOVED', 'the gateway was removed');
    const { instance } = await checkInstanceCertificate({
      der,
      gateway: target.gateway,
      poolPublicJwk: gateway.signKey,
      nowMs: clock.nowMs(),
    });
    if (instance === wanted) {
      if (believedUnder.size >= mostInstances) believedUnder.clear();
      believedUnder.set(instance, gateway.signKeyId);
      return instance;
    }
    throw new PamError('PAM_INSTANCE_UNVERIFIED', `instance ${instance} answered; the router named ${wanted}`, {
      detail: { why: 'other-instance' },
    });
  };
  const approveReady = async (ready: { readonly requestHash: string; readonly head: Head }, hash: string) => {
    if (ready.requestHash !== hash) {
      throw new PamError('PAM_INSTANCE_UNVERIFIED', 'the instance answers a request that this device did not send', {
        detail: { why: 'other-request' },
      });
    }
    await log.atLeast(ready.head);
  };

  const reattachOf =
    (own: SessionId, stream: StreamId, instance: InstanceId): SessionStream['reattachBy'] =>
    (ask) =>
      createReattach({ clock, jitter }, async ({ gen, received }, signal) => {
        const found = await ask(own, stream, instance);
        const address: Address = found.address === undefined ? routerAddress : parseAddress(found.address);
        const leg = await connectLeg({ address, role: 'client', ticket: decodeTicket(found.ticket), carrier, signal });
        const verify = async (der: Uint8Array) => verifyInstance(der, instance);
        return resumeClientStream({ leg, context, stream, instance, gen, received, verifyInstance: verify, signal });
      });

  const openOnce = async (own: SessionId, signal: AbortSignal): Promise<SessionStream> => {
    const stream = streamIdSchema.parse(freshUid());
    const route = routeWith(own);
    const opened = await openStream({ clock, jitter }, { route }, stream, signal);
    const poolKeyId = believedUnder.get(opened.instance) ?? '';
    const reattachBy = reattachOf(own, stream, opened.instance);
    return { session: own, stream, opened, gateway: target.gateway, poolKeyId, reattachBy };
  };

  return {
    open: async (signal) => {
      const own = session;
      try {
        return await openOnce(own, signal);
      } catch (reason) {
        if (!(reason instanceof PamError)) throw reason;
        if (reason.code === 'PAM_SESSION_ENDED' || isGone(reason, own)) return openOnce(await replace(own), signal);
        throw reason;
      }
    },
    // A detached stream has its own rhythm (redial.ts); two on top of each other would make it wait for both.
    askForLeg: (own, stream, instance) =>
      client.call(resumeStream, { params: { id: own, stream }, body: { instance } }, { once: true }),
    poolKeyOf: (uid) => {
      const gateway = log.state().gateways.get(uid);
      return gateway === undefined || gateway.removed ? null : gateway.signKeyId;
    },
    attempt: async (not, told, signal) => {
      const stream = streamIdSchema.parse(freshUid());
      const routed = await routeWith(session, told)(stream, not);
      return routed.connect(() => undefined, signal);
    },
    touch: async () => {
      const own = session;
      try {
        const { ended, words } = await client.call(touchSession, { params: { id: own }, body: {} });
        if (ended === 'signed-out') return { kind: 'signed-out' };
        await catchUp();
        if (ended === 'stopped' || ended === 'not-allowed') {
          return { kind: 'ended', error: new PamError('PAM_SESSION_ENDED', `the router ended the session: ${ended}`) };
        }
        if (ended === 'killed') {
          return { kind: 'ended', error: new PamError('PAM_SESSION_KILLED', `the session was ended ${words}`) };
        }
        if (ended !== null) await replace(own);
        return { kind: 'ok' };
      } catch (reason) {
        if (!(reason instanceof PamError) || !isGone(reason, own)) throw reason;
        await replace(own);
        return { kind: 'ok' };
      }
    },
    vouchFor: async (sessions) => {
      const earlier = [...sessions].filter((id) => id !== session);
      await Promise.allSettled(earlier.map(async (id) => client.call(touchSession, { params: { id }, body: {} })));
    },
    end: async () => {
      await client.call(endSession, { params: { id: session }, body: { reason: 'client-closed' } });
    },
  };
}

function isGone(error: PamError, session: SessionId): boolean {
  return error.code === 'PAM_NOT_FOUND' && error.detail['session'] === session;
}
