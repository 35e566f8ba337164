import type { Duplex } from 'node:stream';
import type { SecureContext } from 'node:tls';
import {
  type InstanceId,
  isErrorCode,
  type Notice,
  PamError,
  type Ready,
  type Refused,
  type RefusedClass,
  type StreamId,
  streamWindow,
} from '@sallyport/protocol';
import { newStreamState, resumeTimes } from '../flow/flow-state.ts';
import { Carrier } from '../run/carrier.ts';
import { type AttachmentChange, type Reattach, splice, type StreamOutcome } from '../run/splice.ts';
import { systemTimers, type Timers } from '../run/system-timers.ts';
import { secureClientLeg } from '../tls/client-tls.ts';
import type { Patience } from '../tls/handshake.ts';
import { nextFrame } from './next-frame.ts';
import { openingLimits, requireHalfOpen } from './opening-limits.ts';

export interface ClientStreamOptions {
  /** Matched leg from `connectLeg`: half-open, paused. Owned from here on. */
  readonly leg: Duplex;
  readonly context: SecureContext;
  /** Checks the chain to the pool key and says whose certificate it is; throws PamError. */
  readonly verifyInstance: (certificateDer: Uint8Array) => InstanceId | Promise<InstanceId>;
  /** Compares the request's hash and the head with what this client knows; throws PamError to refuse. */
  readonly approveReady: (ready: Ready, instance: InstanceId) => void | Promise<void>;
  readonly stream: StreamId;
  readonly gen?: number;
  /** What this end is ready to hold: 256 KiB to 16 MiB, 1 MiB by default. */
  readonly windowBytes?: number;
  /** `ready` is the instance's first frame: the client's rule of trying another after 500 ms hangs on it. */
  readonly onProgress?: (step: 'handshake' | 'ready' | 'dialing') => void;
  /** From the call to OPENED; 10 s by default. */
  readonly openWithinMs?: number;
  readonly timers?: Timers;
  readonly signal: AbortSignal;
}

export type ClientOpening =
  | { readonly kind: 'opened'; readonly stream: OpenedStream }
  | {
      readonly kind: 'refused';
      readonly class: RefusedClass;
      readonly error: PamError;
      readonly instance: InstanceId;
    };

/** How a stream outlives its carrier; without it the loss of the carrier is the end. */
export interface Resuming {
  readonly reattach: Reattach;
  /** 60 s by default. */
  readonly detachedMs?: number;
  readonly onAttachment?: (change: AttachmentChange) => void;
}

/** A stream whose target answered. Use `splice` or `forget` soon: what the target says waits in the window. */
export interface OpenedStream {
  readonly instance: InstanceId;
  /**
   * Joins it with a local socket (paused, half-open) or another Duplex. Never rejects. Call once. `onNotice`: the
   * instance tells its users something, such as that it drains.
   */
  splice(
    local: Duplex,
    signal: AbortSignal,
    resuming?: Resuming,
    onNotice?: (notice: Notice) => void,
  ): Promise<StreamOutcome>;
  /** Another try won: the far end resets its target. */
  forget(): void;
}

/**
 * Opens a stream over a matched leg: TLS, READY approved, OPEN, DIALING, OPENED. No byte of the user's is sent before.
 *
 * @returns a refusal when the instance or the target said no. The leg is destroyed unless the answer is `opened`.
 * @throws PAM_INSTANCE_UNVERIFIED, PAM_STREAM_LOST, PAM_STREAM_PROTOCOL, PAM_TIMEOUT, what `approveReady` threw.
 */
export async function openClientStream(options: ClientStreamOptions): Promise<ClientOpening> {
  const timers = options.timers ?? systemTimers;
  const deadlineAtMs = timers.nowMs() + (options.openWithinMs ?? openingLimits.withinMs);
  const patience: Patience = { timers, deadlineAtMs, signal: options.signal };
  requireHalfOpen(options.leg);
  const { tls, instance } = await secureClientLeg({ ...options, patience });
  options.onProgress?.('handshake');
  const carrier = new Carrier(tls, options.leg, timers);
  try {
    const opening = await negotiate(carrier, instance, options, patience);
    if (opening.kind === 'refused') carrier.close();
    return opening;
  } catch (reason) {
    const error = PamError.from(reason, 'PAM_INTERNAL', 'the stream could not be opened');
    carrier.send({ kind: 'reset', code: 'forget', text: error.code });
    carrier.close();
    throw error;
  }
}

async function negotiate(
  carrier: Carrier,
  instance: InstanceId,
  options: ClientStreamOptions,
  patience: Patience,
): Promise<ClientOpening> {
  const ready = await nextFrame(carrier, ['ready', 'refused'], patience);
  if (ready.kind === 'refused') return refusal(ready.body, instance);
  if (ready.body.instance !== instance) {
    throw new PamError('PAM_INSTANCE_UNVERIFIED', 'the instance names itself otherwise than its certificate');
  }
  options.onProgress?.('ready');
  await options.approveReady(ready.body, instance);
  const windowBytes = options.windowBytes ?? streamWindow.usual;
  const open = { v: 1 as const, stream: options.stream, gen: options.gen ?? 1, window: windowBytes };
  carrier.send({ kind: 'open', body: open });
  const dialing = await nextFrame(carrier, ['dialing', 'refused'], patience);
  if (dialing.kind === 'refused') return refusal(dialing.body, instance);
  options.onProgress?.('dialing');
  const answer = await nextFrame(carrier, ['opened', 'refused'], patience);
  if (answer.kind === 'refused') return refusal(answer.body, instance);
  const { timers } = patience;
  const peerWindowBytes = answer.body.window;
  const stream: OpenedStream = {
    instance,
    splice: (local, signal, resuming, onNotice) => {
      const detachMs = resuming === undefined ? 0 : (resuming.detachedMs ?? resumeTimes.clientDetachedMs);
      const nowMs = timers.nowMs();
      const state = newStreamState({ side: 'client', windowBytes, peerWindowBytes, gen: open.gen, detachMs, nowMs });
      return splice({ carrier, local, state, timers, signal, ...resuming, ...(onNotice && { onNotice }) }).outcome;
    },
    forget() {
      carrier.send({ kind: 'reset', code: 'forget', text: 'another instance took the stream' });
      carrier.close();
    },
  };
  return { kind: 'opened', stream };
}

function refusal(body: Refused, instance: InstanceId): ClientOpening {
  const { code, message, remedy, detail } = body.error;
  const known = isErrorCode(code) ? code : 'PAM_DISPATCH_REFUSED';
  return { kind: 'refused', class: body.class, error: new PamError(known, message, { remedy, detail }), instance };
}
