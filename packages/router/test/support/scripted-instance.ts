import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import {
  createPeer,
  encodePreamble,
  type GatewayUid,
  type LinkHandlers,
  type LinkParams,
  type LinkResult,
  type MembershipView,
  PamError,
  type Peer,
  preambleBytes,
  type StreamId,
} from '@sallyport/protocol';
import {
  digestOf,
  eventHash,
  type InstanceIdentity,
  type JsonValue,
  newInstanceIdentity,
  signEvent,
  signHello,
} from '@sallyport/seal';
import { WebSocket } from 'ws';
import { nowSeconds, type Operator, type PoolKeys } from './operator.ts';

/** An instance that says what the test tells it to, over a real control link. */
export interface ScriptedInstance {
  readonly identity: InstanceIdentity;
  readonly ws: WebSocket;
  readonly peer: Peer<'instance'>;
  readonly challenge: LinkParams<'link.challenge'>;
  /** Everything the router sent, newest last. */
  readonly dispatched: LinkParams<'stream.dispatch'>[];
  readonly resumed: LinkParams<'stream.resume'>[];
  readonly forgotten: LinkParams<'stream.forget'>[];
  readonly ended: LinkParams<'stream.end'>[];
  readonly memberships: MembershipView[];
  readonly intents: LinkParams<'link.intent'>['intent'][];
  readonly changes: LinkParams<'vault.changed'>[];
  readonly parkTickets: string[];
  readonly twins: LinkParams<'link.duplicate'>[];
  readonly offered: LinkParams<'job.offer'>[];
  readonly cancelled: LinkParams<'job.cancel'>[];
  /** How it answers offers of jobs; accepts by default. */
  answerOffer: (params: LinkParams<'job.offer'>) => Promise<LinkResult<'job.offer'>>;
  /** How it answers dispatches; accepts by default. */
  answer: (params: LinkParams<'stream.dispatch'>) => Promise<LinkResult<'stream.dispatch'>>;
  answerResume: (params: LinkParams<'stream.resume'>) => Promise<LinkResult<'stream.resume'>>;
  hello(changes?: Partial<LinkParams<'link.hello'>>): Promise<LinkResult<'link.hello'>>;
  /** The echo leg through the data port; answers the status byte. */
  echo(ticket?: string): Promise<number>;
  events(events: LinkParams<'stream.events'>['events'], changes?: { seq?: number; prev?: string }): Promise<string>;
  opened(stream: StreamId): Promise<string>;
  /** Signs the next event of its chain; `sent` moves the chain on when the router took it. */
  sign(
    act: string,
    on: readonly string[],
    content: JsonValue,
  ): Promise<{ readonly jws: string; sent(): Promise<void> }>;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  close(): void;
}

export interface InstanceOf {
  readonly port: number;
  readonly pin: string;
}

export async function scriptedInstance(
  router: InstanceOf,
  operator: Operator,
  pool: PoolKeys,
  known?: InstanceIdentity,
): Promise<ScriptedInstance> {
  const identity = known ?? (await newInstanceIdentity(pool.signKey, pool.gateway, Date.now()));
  const ws = new WebSocket(`wss://127.0.0.1:${router.port}/v1/link`, {
    rejectUnauthorized: false,
    perMessageDeflate: false,
  });
  const dispatched: ScriptedInstance['dispatched'] = [];
  const resumed: ScriptedInstance['resumed'] = [];
  const forgotten: ScriptedInstance['forgotten'] = [];
  const ended: ScriptedInstance['ended'] = [];
  const memberships: MembershipView[] = [];
  const intents: ScriptedInstance['intents'] = [];
  const changes: ScriptedInstance['changes'] = [];
  const parkTickets: string[] = [];
  const twins: ScriptedInstance['twins'] = [];
  const offered: ScriptedInstance['offered'] = [];
  const cancelled: ScriptedInstance['cancelled'] = [];
  let challenged: (params: LinkParams<'link.challenge'>) => void = () => undefined;
  const challengeCame = new Promise<LinkParams<'link.challenge'>>((resolve) => {
    challenged = resolve;
  });
  let seq = 0;
  let prev = '';
  let beat: NodeJS.Timeout | null = null;
  let beats = 0;
  let heard = 0;

  const handlers: LinkHandlers<'instance'> = {
    'link.challenge': async (params) => {
      challenged(params);
      return {};
    },
    'link.membership': async ({ membership }) => {
      memberships.push(membership);
      return {};
    },
    'link.intent': async ({ intent }) => {
      intents.push(intent);
      return {};
    },
    'link.duplicate': async (params) => {
      twins.push(params);
      return {};
    },
    'vault.changed': async (params) => {
      changes.push(params);
      return {};
    },
    'stream.dispatch': async (params) => {
      dispatched.push(params);
      return instance.answer(params);
    },
    'stream.resume': async (params) => {
      resumed.push(params);
      return instance.answerResume(params);
    },
    'stream.forget': async (params) => {
      forgotten.push(params);
      return {};
    },
    'stream.end': async (params) => {
      ended.push(params);
      return {};
    },
    'job.offer': async (params) => {
      offered.push(params);
      return instance.answerOffer(params);
    },
    'job.cancel': async (params) => {
      cancelled.push(params);
      return {};
    },
    'kind.list': async () => ({ kinds: [] }),
    'leg.park': async ({ tickets }) => {
      parkTickets.push(...tickets);
      return {};
    },
  };
  const peer = createPeer<'instance'>({
    side: 'instance',
    send: (text) => ws.send(text),
    handlers,
    schedule: (ms, fn) => {
      const timer = setTimeout(fn, ms);
      return () => clearTimeout(timer);
    },
    onBroken: () => ws.terminate(),
    onHandlerError: () => undefined,
  });
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    ws.on('close', (code, reason) => {
      if (beat !== null) clearInterval(beat);
      peer.close(new PamError('PAM_LEG_FAILED', 'closed'));
      resolve({ code, reason: String(reason) });
    });
  });
  ws.on('error', () => undefined);
  ws.on('message', (data) => peer.receive(String(data)));
  ws.on('pong', (data) => {
    heard = data.readUInt32BE(0);
  });
  const challenge = await Promise.race([
    challengeCame,
    closed.then(({ code, reason }) => Promise.reject(new Error(`closed before the challenge: ${code} ${reason}`))),
  ]);

  async function echo(ticket = challenge.echoTicket): Promise<number> {
    return new Promise((resolve, reject) => {
      const socket = connect(router.port, '127.0.0.1');
      socket.on('error', reject);
      socket.on('data', (data) => {
        resolve(data[0] ?? -1);
        socket.destroy();
      });
      const preamble = encodePreamble('echo', Buffer.from(ticket, 'base64url'));
      if (preamble.length !== preambleBytes) reject(new Error('preamble'));
      socket.write(preamble);
    });
  }

  const instance: ScriptedInstance = {
    identity,
    ws,
    peer,
    challenge,
    dispatched,
    resumed,
    forgotten,
    ended,
    memberships,
    intents,
    changes,
    parkTickets,
    twins,
    offered,
    cancelled,
    answerOffer: async () => ({ kind: 'accepted' }),
    answer: async () => ({ kind: 'accepted' }),
    answerResume: async () => ({ kind: 'accepted' }),
    echo,
    hello: async (given = {}) => {
      if (Object.keys(given).length === 0 || given.streams !== undefined || given.noStandby !== undefined) await echo();
      const proof = await signHello(
        { nonce: challenge.nonce, gateway: pool.gateway, instance: identity.id, routerPin: router.pin },
        identity.key,
      );
      const answer = await peer.call(
        'link.hello',
        {
          gateway: pool.gateway,
          instance: identity.id,
          certificate: identity.certificatePem,
          proof,
          timeMs: Date.now(),
          version: '0.1.0',
          host: { deviceName: 'host-1', os: 'linux', osVersion: '12', arch: 'x64', machineType: 'container' },
          noStandby: false,
          head: operator.log().head,
          held: null,
          streams: [],
          ...given,
        },
        { timeoutMs: 60_000 },
      );
      const ping = (): void => {
        const payload = Buffer.alloc(8);
        payload.writeUInt32BE(++beats, 0);
        payload.writeUInt32BE(heard, 4);
        if (ws.readyState === ws.OPEN) ws.ping(payload);
      };
      ping();
      beat = setInterval(ping, answer.beatMs);
      return answer;
    },
    events: async (events, chain = {}) => {
      const at = { seq: chain.seq ?? seq + 1, prev: chain.prev ?? prev };
      const signed = await signEvent(
        {
          actor: identity.key.id,
          ...at,
          at: nowSeconds(),
          act: 'stream.events',
          on: events.map((event) => event.stream),
          digest: await digestOf(events),
        },
        identity.key,
      );
      await peer.call('stream.events', { events, signed }, { timeoutMs: 60_000 });
      seq = at.seq;
      prev = await eventHash(signed);
      return signed;
    },
    sign: async (act, on, content) => {
      const at = { seq: seq + 1, prev };
      const digest = await digestOf(content);
      const jws = await signEvent(
        { actor: identity.key.id, ...at, at: nowSeconds(), act, on: [...on], digest },
        identity.key,
      );
      return {
        jws,
        sent: async () => {
          seq = at.seq;
          prev = await eventHash(jws);
        },
      };
    },
    opened: (stream) => instance.events([{ event: 'opened', stream, atMs: Date.now() }]),
    closed,
    close: () => ws.terminate(),
  };
  return instance;
}

/** A member of the pool: challenged, echoed, greeted. */
export async function member(router: InstanceOf, operator: Operator, pool: PoolKeys): Promise<ScriptedInstance> {
  const instance = await scriptedInstance(router, operator, pool);
  await instance.hello();
  return instance;
}

export function randomTicket(): string {
  return randomBytes(32).toString('base64url');
}
export type { GatewayUid };
