import type { Duplex } from 'node:stream';
import type { SecureContext } from 'node:tls';
import { type LinkResult, type Notice, PamError, type RefusedClass, toWireError } from '@sallyport/protocol';
import { type InstanceIdentity, requestHash } from '@sallyport/seal';
import {
  type AttachmentChange,
  connectLeg,
  createStreamContext,
  decodeTicket,
  readStop,
  type LegCarrier,
  runInstanceStream,
  type StreamOutcome,
} from '@sallyport/stream';
import type {
  AddressPolicy,
  DialDeps,
  DrainedWorkload,
  IdentityKeeper,
  Log,
  NeverEndpoint,
  Runtime,
  StreamReporter,
  Workload,
  WorkloadContext,
} from '../agent/index.ts';
import { type CheckDeps, type CheckedDispatch, checkDispatch, type Dispatch } from './check-dispatch.ts';
import type { TunnelTarget } from './decide-tunnel.ts';
import { dialForStream } from './dial-stream.ts';
import { FactsMemory } from './open-facts.ts';
import { createParkedLegs } from './parked-legs.ts';
import { createReplayMemory } from './replay-memory.ts';
import { type ResumeDeps, resumeCarrier } from './resume-carrier.ts';
import { createStreamTable, type RunningStream } from './stream-table.ts';

export interface TunnelDeps extends Pick<CheckDeps, 'gateway' | 'app' | 'box'> {
  readonly identity: IdentityKeeper;
  readonly reporter: StreamReporter;
  readonly runtime: Runtime;
  readonly log: Log;
  /** What legs travel in; targets are dialled with `dial` alone. */
  readonly carrier: LegCarrier;
  readonly dial: DialDeps;
  /** Routers and own listeners. */
  readonly never: () => readonly NeverEndpoint[];
  readonly localAddresses: () => readonly string[];
  readonly maxStreams: number;
  /** How long a stream waits for another carrier, ms. */
  readonly detachedMs: number;
  /** How each dial of a target ended, for who watches. */
  readonly dialled?: (outcome: 'connected' | RefusedClass) => void;
}

export interface TunnelWorkload extends Workload, DrainedWorkload {}

/** A drain that users of streams are told about. */
interface Leaving {
  readonly message: string;
  readonly untilMs: number;
}

type Refusal = Extract<LinkResult<'stream.dispatch'>, { kind: 'refused' }>['class'];

/**
 * Tunnels: dispatch → checks → accepted → leg → TLS with the session key → OPEN → dial → bytes → ended.
 *
 * W1 nothing but the router is dialled before the client proved its key and said OPEN through end-to-end TLS.
 * W2 one signed request makes at most one stream here. Another one for a stream that has not opened takes the place of the
 *    earlier, whose end may be on its way here; one that is open stays.
 * W3 a stream ends by its own ends, a kill, its signed time, the loss of its device's right in the log, or this process;
 *    never by the loss of the control link, and by that of its carrier only when nobody resumed it in time.
 *
 * @see architecture sections 3 ("Session request") and 4 (`instance: dispatch → …`)
 */
export function createTunnelWorkload(deps: TunnelDeps): TunnelWorkload {
  const { runtime, log, identity, reporter } = deps;
  const streams = createStreamTable(runtime.monotonicMs);
  const legs = createParkedLegs(runtime, log, deps.carrier);
  const contexts = new WeakMap<InstanceIdentity, SecureContext>();
  let holding: 'serve' | 'cordon' | 'for-good' = 'serve';
  let leaving: Leaving | null = null;
  let checking = 0;

  const policyOf = (target: TunnelTarget): AddressPolicy => ({
    networks: target.networks,
    onlyInside: target.onlyInside,
    never: deps.never(),
    localAddresses: deps.localAddresses(),
  });
  const checks: CheckDeps = {
    gateway: deps.gateway,
    app: deps.app,
    box: deps.box,
    replays: createReplayMemory(),
    facts: new FactsMemory(),
    nowMs: runtime.nowMs,
    policyOf,
  };

  function refuse(refusal: Refusal, error: PamError): LinkResult<'stream.dispatch'> {
    return { kind: 'refused', class: refusal, error: toWireError(error) };
  }

  function refuseHolding(how: 'cordon' | 'for-good'): LinkResult<'stream.dispatch'> {
    const message = how === 'cordon' ? 'the instance is cordoned' : 'the instance is draining';
    return refuse('draining', new PamError('PAM_DISPATCH_REFUSED', message));
  }

  function refuseEarly(dispatch: Dispatch, context: WorkloadContext): LinkResult<'stream.dispatch'> | null {
    if (holding !== 'serve') return refuseHolding(holding);
    if (context.held?.epoch !== dispatch.epoch) {
      const message = context.held === null ? 'the instance holds no slot' : 'the dispatch is for another epoch';
      return refuse('old-epoch', new PamError('PAM_DISPATCH_REFUSED', message, { detail: { epoch: dispatch.epoch } }));
    }
    if (streams.size + checking >= deps.maxStreams) {
      const message = `the instance runs its maximum of ${deps.maxStreams} streams`;
      return refuse('full', new PamError('PAM_DISPATCH_REFUSED', message));
    }
    return null;
  }

  async function dispatch(
    params: Dispatch,
    context: WorkloadContext,
    signal: AbortSignal,
  ): Promise<LinkResult<'stream.dispatch'>> {
    const twin = streams.get(params.stream);
    if (twin !== undefined && twin.ticket === params.ticket && twin.opened === null) return { kind: 'accepted' };
    const early = refuseEarly(params, context);
    if (early !== null) return early;
    checking += 1;
    try {
      const checked = await checkDispatch(params, checks, context);
      if (signal.aborted) throw new PamError('PAM_LEG_FAILED', 'the link ended while the dispatch was checked');
      if (holding !== 'serve') return refuseHolding(holding);
      // The log may have moved while the rest was checked; from here on `recheck` sees the stream.
      if (!context.log().grants(checked.request.iss, 'connect')) {
        throw new PamError('PAM_NOT_ALLOWED', 'the device that asks may not connect any more');
      }
      const earlier = streams.get(params.stream);
      if (earlier !== undefined && earlier.opened !== null) {
        return refuse('full', new PamError('PAM_DISPATCH_REFUSED', 'this stream is open here already'));
      }
      earlier?.controller.abort('stopped');
      const running: RunningStream = {
        stream: params.stream,
        session: params.session,
        ticket: params.ticket,
        controller: new AbortController(),
        request: checked.request,
        opened: null,
        resuming: 0,
      };
      streams.add(running);
      void serve(params, checked, running, context);
      return { kind: 'accepted' };
    } catch (reason) {
      if (!(reason instanceof PamError)) log.error('a dispatch could not be checked', { error: String(reason) });
      const error = PamError.from(reason, 'PAM_INTERNAL', 'the dispatch could not be checked');
      log.warn('dispatch refused', { stream: params.stream, code: error.code, error: error.message });
      return refuse(isOwnTrouble(error) ? 'full' : 'denied', error);
    } finally {
      checking -= 1;
    }
  }

  async function serve(
    params: Dispatch,
    checked: CheckedDispatch,
    running: RunningStream,
    context: WorkloadContext,
  ): Promise<void> {
    const { request } = checked;
    const lifeMs = request.until * 1_000 - runtime.nowMs();
    const cancelDeadline = runtime.schedule(lifeMs, () => running.controller.abort('deadline'));
    let outcome: StreamOutcome;
    try {
      outcome = await runStream(params, checked, running, context);
    } catch (reason) {
      outcome = outcomeOfLeg(reason, running.controller.signal);
    } finally {
      cancelDeadline();
    }
    const { reason, bytesUp, bytesDown, error } = outcome;
    if (!streams.remove(running)) return;
    reporter.add({
      event: 'ended',
      stream: params.stream,
      atMs: Math.round(runtime.nowMs()),
      reason,
      bytesUp,
      bytesDown,
      ...unreachedOf(outcome, checked.target),
    });
    log.info('stream ended', {
      ...namesOf(params, checked),
      reason,
      bytesUp,
      bytesDown,
      ...(error === null ? {} : { code: error.code, error: error.message }),
    });
  }

  const noticeOf = ({ message, untilMs }: Leaving): Notice => ({
    notice: 'drain',
    message,
    deadlineInMs: Math.max(0, Math.round(untilMs - runtime.monotonicMs())),
  });
  const namesOf = (params: Dispatch, checked: CheckedDispatch): Record<string, string> => ({
    stream: params.stream,
    session: params.session,
    instance: identity.id,
    resource: checked.request.resource,
  });

  async function runStream(
    params: Dispatch,
    checked: CheckedDispatch,
    running: RunningStream,
    context: WorkloadContext,
  ): Promise<StreamOutcome> {
    const { signal } = running.controller;
    const { request, target } = checked;
    const [leg, tls, hash] = await Promise.all([
      legOf(params, context, signal),
      tlsContext(),
      requestHash(params.request),
    ]);
    return runInstanceStream({
      leg,
      context: tls,
      sessionKey: request.cnf,
      ready: { requestHash: hash, head: context.log().head, instance: identity.id },
      stream: params.stream,
      dial: async (_open, dialSignal) => {
        const result = await dialForStream({ ...target, policy: policyOf(target) }, deps.dial, dialSignal);
        deps.dialled?.(result.kind === 'connected' ? 'connected' : result.class);
        return result;
      },
      detachedMs: deps.detachedMs,
      onAttachment: (change) => noteAttachment(change, params, checked),
      onOpened: (spliced) => {
        running.opened = spliced;
        if (leaving !== null) spliced.notify(noticeOf(leaving));
        reporter.add({ event: 'opened', stream: params.stream, atMs: Math.round(runtime.nowMs()) });
        log.info('stream opened', namesOf(params, checked));
      },
      signal,
    });
  }

  function noteAttachment(change: AttachmentChange, params: Dispatch, checked: CheckedDispatch): void {
    const { stream } = params;
    const atMs = Math.round(runtime.nowMs());
    if (change.kind === 'detached') {
      reporter.add({ event: 'detached', stream, atMs, untilMs: atMs + Math.round(change.limitInMs) });
      log.info('stream lost its carrier', { ...namesOf(params, checked), waitsMs: Math.round(change.limitInMs) });
    } else {
      reporter.add({ event: 'resumed', stream, atMs });
      log.info('stream resumed', { ...namesOf(params, checked), gen: change.gen });
    }
  }

  async function legOf(params: Dispatch, context: WorkloadContext, signal: AbortSignal): Promise<Duplex> {
    if (params.parked) {
      const bound = await legs.take(params.ticket).catch((error: PamError) => error);
      if (!(bound instanceof PamError)) return bound;
      log.debug('no bound leg, dialling one', { stream: params.stream, code: bound.code });
    }
    return connectLeg({
      address: context.router,
      role: 'instance',
      ticket: decodeTicket(params.ticket),
      carrier: deps.carrier,
      signal,
    });
  }

  async function tlsContext(): Promise<SecureContext> {
    const current = await identity.current();
    const known = contexts.get(current);
    if (known !== undefined) return known;
    const made = createStreamContext(current);
    contexts.set(current, made);
    return made;
  }

  const stopping = new AbortController();
  const resuming: ResumeDeps = {
    streams,
    signal: stopping.signal,
    log,
    nowMs: runtime.nowMs,
    legOf: (ticket, { router }) => {
      const { signal } = stopping;
      const { carrier } = deps;
      return connectLeg({ address: router, role: 'instance', ticket: decodeTicket(ticket), carrier, signal });
    },
    tlsContext,
  };

  return {
    dispatch,
    resume: (params, context) => resumeCarrier(params, resuming, context),
    forget: ({ stream, ticket }) => {
      const running = streams.get(stream);
      if (running?.ticket === ticket && running.opened === null) running.controller.abort('stopped');
    },
    end: ({ streams: ids, reason, words }) => streams.end(ids, reason, words),
    park: ({ tickets }, context) => {
      if (holding === 'serve') legs.park(tickets, context.router);
    },
    recheck: (log) => {
      for (const stream of streams.ids()) {
        const running = streams.get(stream);
        if (running === undefined) continue;
        const { iss, until } = running.request;
        // Its timer stood still if the machine slept; whoever sleeps loses the link, and comes here.
        if (runtime.nowMs() >= until * 1_000) running.controller.abort('deadline');
        else if (!log.grants(iss, 'connect')) running.controller.abort('not-allowed');
      }
    },
    running: () => streams.ids(),
    hold: (how) => {
      holding = how;
      if (how === 'for-good') legs.close();
    },
    notify: (message, deadlineInMs) => {
      leaving = { message, untilMs: runtime.monotonicMs() + deadlineInMs };
      streams.notifyAll(noticeOf(leaving));
    },
    reset: (reason) => {
      streams.end([], reason);
      stopping.abort();
    },
    empty: () => streams.empty(),
    count: () => streams.size,
  };
}

/** This instance could not check the dispatch now; another one may: the router goes on to it without a mark. */
const isOwnTrouble = (error: PamError): boolean =>
  error.code === 'PAM_TIMEOUT' || error.code === 'PAM_LEG_FAILED' || error.code === 'PAM_RATE_LIMITED';

/** Told to the router, which cannot see it; of a supplied host not, because it would be taken for the record's own. */
function unreachedOf(outcome: StreamOutcome, target: TunnelTarget): { unreached?: 'unreachable' | 'timeout' } {
  if (outcome.reason !== 'target-refused' || target.onlyInside) return {};
  if (outcome.error?.code === 'PAM_TARGET_UNREACHABLE') return { unreached: 'unreachable' };
  return outcome.error?.code === 'PAM_TARGET_TIMEOUT' ? { unreached: 'timeout' } : {};
}

/** The stream never came to its TLS: the leg was not matched, or it was ended before. */
function outcomeOfLeg(reason: unknown, signal: AbortSignal): StreamOutcome {
  const error = PamError.from(reason, 'PAM_INTERNAL', 'the leg could not be opened');
  const ended = signal.aborted ? readStop(signal.reason).reason : 'client-lost';
  return { bytesUp: 0, bytesDown: 0, reason: ended, error, opened: false };
}
