import { breakLeg } from '../leg/break-leg.ts';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SecureContext } from 'node:tls';
import {
  type EndReason,
  type Open,
  PamError,
  type Ready,
  type RefusedClass,
  type StreamId,
  streamWindow,
  toWireError,
} from '@sallyport/protocol';
import { newStreamState } from '../flow/flow-state.ts';
import { Carrier } from '../run/carrier.ts';
import { type AttachmentChange, splice, type StreamDoor, type StreamOutcome } from '../run/splice.ts';
import { readStop } from '../run/stop-reason.ts';
import { systemTimers, type Timers } from '../run/system-timers.ts';
import type { Patience } from '../tls/handshake.ts';
import { judgeClient, secureInstanceLeg } from '../tls/instance-tls.ts';
import { nextFrame } from './next-frame.ts';
import { openingLimits, requireHalfOpen } from './opening-limits.ts';

export type DialResult =
  /** Half-open and paused; owned by the stream from here on. */
  | { readonly kind: 'connected'; readonly socket: Socket }
  | { readonly kind: 'refused'; readonly class: RefusedClass; readonly error: PamError };

export interface InstanceStreamOptions {
  /** Matched leg from `connectLeg` or a bound one. Owned from here on. */
  readonly leg: Duplex;
  readonly context: SecureContext;
  /** base64url SHA-256 of the session key's SPKI: the `cnf` of the signed request. */
  readonly sessionKey: string;
  readonly ready: Ready;
  /** The stream dispatched; OPEN must name it. */
  readonly stream: StreamId;
  /**
   * Called once, after TLS, key check and OPEN; only now may the target be touched. A thrown PamError is a refusal of
   * class `denied`, anything else of class `busy`. `signal` fires when the client is gone.
   */
  readonly dial: (open: Open, signal: AbortSignal) => Promise<DialResult>;
  readonly windowBytes?: number;
  /** TLS and OPEN; 10 s by default. The dial has its own limits. */
  readonly openWithinMs?: number;
  /** `running` takes other carriers (`serveResume`) and notices for the user, and after the end says that there is nothing to resume. */
  readonly onOpened?: (running: StreamDoor) => void;
  /** How long a lost carrier may be replaced; 0, the default: its loss is the end. */
  readonly detachedMs?: number;
  readonly onAttachment?: (change: AttachmentChange) => void;
  readonly timers?: Timers;
  readonly signal: AbortSignal;
}

/**
 * Serves one stream from a matched leg to its end. Never rejects: the outcome says how it ended.
 *
 * @see docs/protocol.md "Opening"
 */
export async function runInstanceStream(options: InstanceStreamOptions): Promise<StreamOutcome> {
  const timers = options.timers ?? systemTimers;
  const deadlineAtMs = timers.nowMs() + (options.openWithinMs ?? openingLimits.withinMs);
  const patience: Patience = { timers, deadlineAtMs, signal: options.signal };
  let carrier: Carrier | null = null;
  try {
    requireHalfOpen(options.leg);
    const tls = await secureInstanceLeg(options.leg, options.context, patience);
    carrier = new Carrier(tls, options.leg, timers);
    const unfit = judgeClient(tls, options.sessionKey, timers.wallMs());
    if (unfit !== null) return refuse(carrier, 'denied', unfit);
    carrier.send({ kind: 'ready', body: options.ready });
    const { body: open } = await nextFrame(carrier, ['open'], patience);
    if (open.stream !== options.stream) {
      throw new PamError('PAM_STREAM_PROTOCOL', 'OPEN names another stream than the request');
    }
    carrier.send({ kind: 'dialing' });
    const dialled = await dialWatched(carrier, open, options, timers);
    if (dialled.kind === 'refused') return refuse(carrier, dialled.class, dialled.error);
    return await run(carrier, dialled.socket, open, options, timers);
  } catch (reason) {
    return abandon(carrier, PamError.from(reason, 'PAM_INTERNAL', 'the stream failed'), options);
  }
}

async function run(
  carrier: Carrier,
  local: Socket,
  open: Open,
  options: InstanceStreamOptions,
  timers: Timers,
): Promise<StreamOutcome> {
  requireHalfOpen(local);
  const windowBytes = options.windowBytes ?? streamWindow.usual;
  const state = newStreamState({
    side: 'instance',
    windowBytes,
    peerWindowBytes: open.window,
    gen: open.gen,
    detachMs: options.detachedMs ?? 0,
    nowMs: timers.nowMs(),
  });
  carrier.send({ kind: 'opened', body: { window: windowBytes } });
  const { signal, onAttachment } = options;
  const running = splice({ carrier, local, state, timers, signal, ...(onAttachment && { onAttachment }) });
  options.onOpened?.(running);
  return running.outcome;
}

/** Dials while watching the client: one that leaves, or speaks before OPENED, ends the dial. */
async function dialWatched(
  carrier: Carrier,
  open: Open,
  options: InstanceStreamOptions,
  timers: Timers,
): Promise<DialResult> {
  const over = new AbortController();
  const signal = AbortSignal.any([options.signal, over.signal]);
  const watch = nextFrame(carrier, [], { timers, deadlineAtMs: timers.nowMs() + watchMs, signal });
  const dial = options.dial(open, signal).catch(refusalOf);
  try {
    return await Promise.race([dial, watch]);
  } catch (reason) {
    over.abort(reason);
    void dial.then((late) => (late.kind === 'connected' ? breakLeg(late.socket) : undefined));
    throw reason;
  } finally {
    over.abort();
    await watch.catch(() => undefined);
  }
}
/** A dial that never returns is given up with the client's own patience; this only frees what would be left. */
const watchMs = 120_000;

function refusalOf(reason: unknown): DialResult {
  const error = PamError.from(reason, 'PAM_INTERNAL', 'the dial failed');
  return { kind: 'refused', class: reason instanceof PamError ? 'denied' : 'busy', error };
}

const refusedReason: Readonly<Record<RefusedClass, EndReason>> = {
  refused: 'target-refused',
  name: 'target-refused',
  unreachable: 'target-refused',
  timeout: 'target-refused',
  denied: 'not-allowed',
  busy: 'failed',
};

function refuse(carrier: Carrier, refusedClass: RefusedClass, error: PamError): StreamOutcome {
  carrier.send({ kind: 'refused', body: { class: refusedClass, error: toWireError(error) } });
  carrier.close();
  return { bytesUp: 0, bytesDown: 0, reason: refusedReason[refusedClass], error, opened: false };
}

function abandon(carrier: Carrier | null, error: PamError, options: InstanceStreamOptions): StreamOutcome {
  const reason = abandonReason(error, options.signal);
  if (carrier === null) setImmediate(() => breakLeg(options.leg));
  else {
    carrier.send({ kind: 'reset', code: error.code === 'PAM_STREAM_PROTOCOL' ? 'protocol' : 'stopped', text: reason });
    carrier.close();
  }
  return { bytesUp: 0, bytesDown: 0, reason, error, opened: false };
}

function abandonReason(error: PamError, signal: AbortSignal): EndReason {
  if (signal.aborted) return readStop(signal.reason).reason;
  if (error.code === 'PAM_STREAM_PROTOCOL') return 'protocol-error';
  if (error.code === 'PAM_STREAM_LOST' || error.code === 'PAM_TIMEOUT') return 'client-lost';
  return 'failed';
}
