import {
  type Decision,
  type GatewayUid,
  type InstanceId,
  type ItemUid,
  type LinkResult,
  PamError,
  isErrorCode,
  type SessionId,
  type StreamId,
} from '@sallyport/protocol';
import { noReadyInstance, type PoolService } from '../pool/index.ts';

/** One stream to be placed. `send` puts the dispatch on the link of the instance that was picked. */
export interface DispatchOrder {
  readonly gateway: GatewayUid;
  readonly session: SessionId;
  readonly stream: StreamId;
  readonly resource: ItemUid;
  /** Instances tried before, by the client's word. */
  readonly not: readonly InstanceId[];
  send(to: { link: string; epoch: number; ticket: string; parked: boolean }): Promise<LinkResult<'stream.dispatch'>>;
  /** Advice to an instance that was dispatched to and is not needed: forget it. */
  forget(to: { link: string; ticket: string }): void;
}

export interface DispatchDeps {
  readonly pool: Pick<PoolService, 'route' | 'hedged' | 'heard'>;
  /** Makes the tickets of a pair of legs known to the relay. */
  readonly expect: (match: string, clientTicket: string, instanceTicket: string) => Promise<void>;
  /** Binds a leg the instance parked to its ticket; false when there is none. Also told of the dispatch (dial ahead). */
  readonly bindParked: (instance: InstanceId, link: string, instanceTicket: string) => boolean;
  readonly forgetLegs: (match: string) => void;
  readonly newTicket: () => string;
  readonly after: (ms: number, fn: () => void) => () => void;
  /** Every decision, in order. */
  readonly decided: (decision: Decision) => void;
  /** H: an instance that has not answered by then is suspect, and another is asked. */
  readonly hedgeMs: number;
  readonly deadlineMs: number;
}

export interface Placed {
  readonly instance: InstanceId;
  /** For the client's leg. */
  readonly ticket: string;
  readonly match: string;
  readonly attempt: number;
  /** The instance could not reach the resource lately and is tried again with this stream. */
  readonly probe: boolean;
}

interface Attempt {
  readonly instance: InstanceId;
  readonly probe: boolean;
  readonly link: string;
  readonly match: string;
  readonly clientTicket: string;
  readonly instanceTicket: string;
  readonly epoch: number;
}
type Outcome =
  | { readonly kind: 'accepted'; readonly of: Attempt }
  | { readonly kind: 'denied' | 'refused' | 'link-closed'; readonly of: Attempt; readonly error: PamError }
  | { readonly kind: 'hedge' | 'deadline' };

async function ask(order: DispatchOrder, of: Attempt, deps: DispatchDeps): Promise<Outcome> {
  try {
    await deps.expect(of.match, of.clientTicket, of.instanceTicket);
    const parked = deps.bindParked(of.instance, of.link, of.instanceTicket);
    const answer = await order.send({ link: of.link, epoch: of.epoch, ticket: of.instanceTicket, parked });
    if (answer.kind === 'accepted') return { kind: 'accepted', of };
    const { code, message, remedy, detail } = answer.error;
    const error = new PamError(isErrorCode(code) ? code : 'PAM_DISPATCH_REFUSED', message, { remedy, detail });
    return { kind: answer.class === 'denied' ? 'denied' : 'refused', of, error };
  } catch (reason) {
    return { kind: 'link-closed', of, error: PamError.from(reason, 'PAM_DISPATCH_REFUSED', 'the dispatch failed') };
  }
}

/**
 * Places a stream (architecture section 4, `route`): a pick, a dispatch; refused or link closed → the next; no answer
 * within H → the next as well, and the first that accepts wins.
 *
 * D1 each pick is a turn and is recorded, hedged or not.
 * D2 `denied` is final: no other instance is asked.
 * D3 when one accepted, the tickets of all others are void.
 *
 * @throws PAM_POOL_NO_READY_INSTANCE with every reason, the instance's own refusal, PAM_TIMEOUT after the deadline.
 */
export async function dispatchStream(order: DispatchOrder, deps: DispatchDeps): Promise<Placed> {
  const tried = new Set<InstanceId>(order.not);
  const open = new Map<Attempt, Promise<Outcome>>();
  let cause: Decision['cause'] | null = order.not.length === 0 ? 'first' : 'retry';
  let attempts = 0;
  let refusal: PamError | null = null;

  const begin = (why: Decision['cause']): Attempt | null => {
    const { gateway, stream, resource } = order;
    const { decision, picked } = deps.pool.route({ gateway, of: { stream, resource }, not: [...tried], cause: why });
    deps.decided(decision);
    if (picked === null) {
      if (open.size === 0) throw refusal ?? noReadyInstance(decision);
      return null;
    }
    attempts += 1;
    tried.add(picked.instance);
    const attempt: Attempt = {
      instance: picked.instance,
      probe: picked.probe,
      link: picked.link,
      match: `${order.stream}.${attempts}.${deps.newTicket().slice(0, 8)}`,
      clientTicket: deps.newTicket(),
      instanceTicket: deps.newTicket(),
      epoch: picked.epoch,
    };
    open.set(attempt, ask(order, attempt, deps));
    return attempt;
  };
  const drop = (attempt: Attempt): void => {
    open.delete(attempt);
    deps.forgetLegs(attempt.match);
    deps.pool.heard('released', { gateway: order.gateway, instance: attempt.instance, stream: order.stream });
  };
  const forgetAll = (): void => {
    for (const attempt of [...open.keys()]) {
      drop(attempt);
      order.forget({ link: attempt.link, ticket: attempt.instanceTicket });
    }
  };
  const timer = (ms: number, kind: 'hedge' | 'deadline'): { readonly fired: Promise<Outcome>; cancel: () => void } => {
    let cancel = (): void => undefined;
    const fired = new Promise<Outcome>((resolve) => {
      cancel = deps.after(ms, () => resolve({ kind }));
    });
    return { fired, cancel };
  };

  const deadline = timer(deps.deadlineMs, 'deadline');
  try {
    for (;;) {
      const newest: Attempt | null = cause === null ? null : begin(cause);
      const hedge = timer(deps.hedgeMs, 'hedge');
      const waits: Promise<Outcome>[] = [...open.values(), deadline.fired];
      if (newest !== null) waits.push(hedge.fired);
      const outcome: Outcome = await Promise.race(waits);
      hedge.cancel();
      cause = null;
      switch (outcome.kind) {
        case 'accepted':
          open.delete(outcome.of);
          return {
            instance: outcome.of.instance,
            ticket: outcome.of.clientTicket,
            match: outcome.of.match,
            attempt: attempts,
            probe: outcome.of.probe,
          };
        case 'denied':
          drop(outcome.of);
          throw outcome.error;
        case 'refused':
        case 'link-closed':
          drop(outcome.of);
          refusal = outcome.error;
          cause = outcome.kind;
          break;
        case 'hedge':
          if (newest !== null) deps.pool.hedged(order.gateway, newest.instance, newest.epoch);
          cause = 'hedge';
          break;
        case 'deadline':
          throw new PamError('PAM_TIMEOUT', 'no instance took the stream in time');
        default:
          return outcome satisfies never;
      }
    }
  } finally {
    deadline.cancel();
    forgetAll();
  }
}
