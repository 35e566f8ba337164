import {
  createPeer,
  type GatewayUid,
  type InstanceId,
  type JobHandlers,
  type LinkHandlers,
  type LinkParams,
  type LinkResult,
  linkLimits,
  type MembershipView,
  PamError,
  type Peer,
} from '@sallyport/protocol';
import type { WebSocket } from 'ws';
import type { Clock } from '../clock.ts';
import { decodePing, encodePong } from './beat.ts';

/** WebSocket close codes of the control link; the reason is the PAM_ code (docs/protocol-api.md). */
export const linkClose = { refused: 4_001, protocol: 4_002, late: 4_003, replaced: 4_004 } as const;

/**
 * How a link ended: we cut it; the process behind it died (a FIN without a word, which is what its kernel sends); or
 * anything else that was not our doing: a reset, an error, a close frame of an instance that gives the link up.
 */
export type LinkEnd = 'cut' | 'died' | 'broken';

/**
 * One control link.
 *
 * Stages: challenged → greeting (a hello is being checked) → member → closed.
 * L1 before it is a member only `link.hello` is answered, once, within 10 s; and `log.give-back`, which proves itself: some calls of
 *    it, and none after one was refused.
 * L2 whatever the peer sends costs this link at most: rubbish, floods and slow reading end it.
 * L3 `closed` is called exactly once.
 */
export interface Link {
  readonly id: string;
  readonly address: string;
  readonly openedAtMs: number;
  readonly peer: Peer<'router'>;
  member(): LinkMember | null;
  /** After a verified hello. */
  become(member: LinkMember): void;
  /** Sends it once the hello was answered, the newest only; resolves true when the instance acknowledged it. */
  tell(membership: MembershipView): Promise<boolean>;
  /** Says what is wanted of it, once the hello was answered, the newest only. */
  intend(intent: LinkParams<'link.intent'>['intent']): void;
  /** Ends it now; the peer is told why if it still reads. */
  cut(code: number, error: PamError): void;
}
interface LinkMember {
  readonly gateway: GatewayUid;
  readonly instance: InstanceId;
  readonly app: string;
}

export interface LinkDeps {
  readonly id: string;
  readonly address: string;
  readonly clock: Clock;
  readonly challenge: LinkParams<'link.challenge'>;
  readonly promoteMs: number;
  /** Beat interval told to a link that is not admitted yet. */
  readonly idleBeatMs: number;
  readonly hello: (link: Link, params: LinkParams<'link.hello'>) => Promise<LinkResult<'link.hello'>>;
  readonly bye: (link: Link, params: LinkParams<'link.bye'>) => Promise<void>;
  readonly drain: (link: Link, params: LinkParams<'link.drain'>) => Promise<void>;
  readonly readLog: (from: number) => Promise<LinkResult<'log.read'>>;
  readonly giveBack: (params: LinkParams<'log.give-back'>) => Promise<LinkResult<'log.give-back'>>;
  readonly events: (link: Link, params: LinkParams<'stream.events'>) => Promise<void>;
  /** What it may say of jobs; `member` throws before the hello. */
  readonly jobs: (member: () => LinkMember) => Partial<JobHandlers<'router'>>;
  readonly beat: (link: Link, ping: { seq: number; heard: number }) => { beatMs: number };
  readonly closed: (link: Link, how: LinkEnd) => void;
  /** The connection under the WebSocket ended with an error. */
  readonly isReset: () => boolean;
  readonly unexpected: (what: string, error: unknown) => void;
}

const unsentBytes = 8_388_608;
const beatsPerSecond = 100;
const messagesPerSecond = 2_000;
const lastWordsMs = 250;
/** Calls of one link that give entries back; more than a restore ever loses. */
const giveBackCalls = 32;
/** RFC 6455, 7.1.5: what a WebSocket is said to be closed with when no close frame came. */
const noCloseFrame = 1_006;

/** Counts per second; answers false when there were more than `most`. */
function createMeter(most: number, monotonicMs: () => number): () => boolean {
  let since = monotonicMs();
  let count = 0;
  return () => {
    const now = monotonicMs();
    if (now - since >= 1_000) {
      since = now;
      count = 0;
    }
    count += 1;
    return count <= most;
  };
}

export function openLink(ws: WebSocket, deps: LinkDeps): Link {
  const { clock } = deps;
  let member: LinkMember | null = null;
  let stage: 'challenged' | 'greeting' | 'member' | 'closed' = 'challenged';
  let answered = false;
  let giveBacksLeft: number = giveBackCalls;
  let untold: (() => void) | null = null;
  let unsaid: LinkParams<'link.intent'> | null = null;
  const beatIsFine = createMeter(beatsPerSecond, clock.monotonicMs);
  const messageIsFine = createMeter(messagesPerSecond, clock.monotonicMs);

  function needMember(): void {
    if (stage !== 'member')
      throw new PamError('PAM_INSTANCE_REFUSED', 'say link.hello first', { detail: { why: 'no-hello' } });
  }

  function memberNow(): LinkMember {
    needMember();
    if (member === null) throw new PamError('PAM_INTERNAL', 'a member without a name');
    return member;
  }

  const handlers: LinkHandlers<'router'> = {
    ...deps.jobs(memberNow),
    'link.hello': async (params) => {
      if (stage !== 'challenged') throw new PamError('PAM_BAD_REQUEST', 'link.hello was said before');
      stage = 'greeting';
      try {
        const result = await deps.hello(link, params);
        // The peer sends the answer in the turn after this one: memberships go out behind it.
        clock.after(0, () => {
          answered = true;
          untold?.();
          untold = null;
          if (unsaid !== null && stage === 'member') peer.notify('link.intent', unsaid);
          unsaid = null;
        });
        return result;
      } catch (reason) {
        const error = PamError.from(reason, 'PAM_INTERNAL', 'the router failed to admit the instance');
        if (error.code === 'PAM_INTERNAL') deps.unexpected('hello', reason);
        clock.after(lastWordsMs, () => cut(linkClose.refused, error));
        throw error;
      }
    },
    'link.bye': async (params) => {
      needMember();
      await deps.bye(link, params);
      clock.after(lastWordsMs, () => cut(linkClose.replaced, new PamError('PAM_INTERRUPTED', 'the instance said bye')));
      return {};
    },
    'link.drain': async (params) => {
      needMember();
      await deps.drain(link, params);
      return {};
    },
    'log.read': async (params) => {
      needMember();
      return deps.readLog(params.from);
    },
    'log.give-back': async (params) => {
      if (giveBacksLeft <= 0) throw new PamError('PAM_RATE_LIMITED', 'this link gave back enough');
      giveBacksLeft -= 1;
      try {
        return await deps.giveBack(params);
      } catch (reason) {
        // Somebody who is faster is no reason; anything else a link does once.
        if (!(reason instanceof PamError) || reason.code !== 'PAM_TRUST_LOG_MOVED') giveBacksLeft = 0;
        throw reason;
      }
    },
    'stream.events': async (params) => {
      needMember();
      await deps.events(link, params);
      return {};
    },
  };

  const peer = createPeer<'router'>({
    side: 'router',
    send: (text) => {
      if (stage === 'closed') return;
      if (ws.bufferedAmount > unsentBytes)
        return cut(linkClose.protocol, new PamError('PAM_LEG_FAILED', 'the instance does not read'));
      ws.send(text);
    },
    handlers,
    schedule: clock.after,
    onBroken: (error) => cut(linkClose.protocol, error),
    onHandlerError: (method, error) => deps.unexpected(method, error),
  });

  function close(error: PamError, how: LinkEnd): void {
    if (stage === 'closed') return;
    stage = 'closed';
    cancelHelloTimer();
    untold?.();
    peer.close(error);
    deps.closed(link, how);
  }
  function cut(code: number, error: PamError): void {
    if (stage === 'closed') return;
    ws.close(code, error.code);
    clock.after(lastWordsMs, () => ws.terminate());
    close(error, 'cut');
  }

  const cancelHelloTimer = clock.after(linkLimits.helloWithinMs, () => {
    if (stage === 'challenged') cut(linkClose.late, new PamError('PAM_TIMEOUT', 'no hello within 10 s'));
  });

  ws.on('message', (data, isBinary) => {
    if (stage === 'closed') return;
    if (isBinary) return cut(linkClose.protocol, new PamError('PAM_BAD_REQUEST', 'binary messages are not taken'));
    if (!messageIsFine())
      return cut(linkClose.protocol, new PamError('PAM_RATE_LIMITED', 'too many messages in a second'));
    peer.receive(String(data));
  });
  ws.on('ping', (data) => {
    if (stage === 'closed') return;
    const ping = decodePing(data);
    if (ping === null || !beatIsFine())
      return cut(linkClose.protocol, new PamError('PAM_BAD_REQUEST', 'a ping is no beat'));
    const { beatMs } = stage === 'member' ? deps.beat(link, ping) : { beatMs: deps.idleBeatMs };
    ws.pong(encodePong(ping.seq, beatMs));
  });
  ws.on('error', () => close(new PamError('PAM_LEG_FAILED', 'the control link broke'), 'broken'));
  ws.on('close', (code) => {
    const how = code === noCloseFrame && !deps.isReset() ? 'died' : 'broken';
    close(new PamError('PAM_LEG_FAILED', 'the control link closed'), how);
  });

  const link: Link = {
    id: deps.id,
    address: deps.address,
    openedAtMs: clock.nowMs(),
    peer,
    member: () => member,
    become: (who) => {
      if (stage === 'greeting') stage = 'member';
      member = who;
    },
    tell: async (membership) => {
      if (!answered) {
        untold?.();
        await new Promise<void>((resolve) => {
          untold = resolve;
        });
      }
      if (stage === 'closed') return false;
      try {
        await peer.call('link.membership', { membership }, { timeoutMs: deps.promoteMs });
        return true;
      } catch {
        return false; // closed, late or refused: the pool asks the next in line
      }
    },
    intend: (intent) => {
      if (!answered) unsaid = { intent };
      else if (stage === 'member') peer.notify('link.intent', { intent });
    },
    cut,
  };
  peer.notify('link.challenge', deps.challenge);
  return link;
}
