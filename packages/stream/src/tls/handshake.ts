import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { PamError } from '@sallyport/protocol';
import { breakTls } from './break-tls.ts';
import type { Timers } from '../run/system-timers.ts';

/** When waiting ends: at a monotonic time, or by the signal. */
export interface Patience {
  readonly timers: Timers;
  readonly deadlineAtMs: number;
  readonly signal: AbortSignal;
}

/**
 * Waits for the TLS handshake of a wrapped leg. With half-open sockets a peer that dies in the handshake gives no
 * `close`, so `end` counts too, and there is a deadline of our own.
 *
 * @throws PAM_STREAM_LOST when the peer left, PAM_TIMEOUT, or `refusal` when TLS itself said no. The leg is destroyed.
 */
export function completeHandshake(
  tls: TLSSocket,
  leg: Duplex,
  event: 'secureConnect' | 'secure',
  patience: Patience,
  refusal: (reason: Error & { code?: string }) => PamError,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (error: PamError): void => {
    breakTls(tls, leg);
    reject(error);
  };
  const onError = (reason: Error & { code?: string }): void =>
    fail(
      reason.code?.startsWith('ERR_SSL') || reason.code === 'ERR_TLS_REQUIRED_SERVER_NAME' ? refusal(reason) : left(),
    );
  const onGone = (): void => fail(left());
  const onAbort = (): void => fail(interrupted(patience.signal));
  tls.on('error', onError);
  leg.on('error', onError);
  for (const name of ['end', 'close']) {
    tls.once(name, onGone);
    leg.once(name, onGone);
  }
  // Not within OpenSSL's call: see breakTls.
  tls.once(event, () => setImmediate(resolve));
  const cancel = patience.timers.after(Math.max(0, patience.deadlineAtMs - patience.timers.nowMs()), () =>
    fail(new PamError('PAM_TIMEOUT', 'the other end did not complete the TLS handshake in time')),
  );
  patience.signal.addEventListener('abort', onAbort, { once: true });
  if (patience.signal.aborted) onAbort();
  return promise.finally(() => {
    cancel();
    patience.signal.removeEventListener('abort', onAbort);
    for (const name of ['end', 'close']) {
      tls.off(name, onGone);
      leg.off(name, onGone);
    }
    // The error listeners stay: a socket without one takes the process down.
  });
}

function left(): PamError {
  return new PamError('PAM_STREAM_LOST', 'the other end left during the TLS handshake');
}

/** What an aborted wait throws: the reason itself when it is ours. */
export function interrupted(signal: AbortSignal): PamError {
  return PamError.from(signal.reason, 'PAM_INTERRUPTED', 'the opening of the stream was interrupted');
}
