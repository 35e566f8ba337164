import { breakLeg } from '../leg/break-leg.ts';
import type { Duplex } from 'node:stream';
import type { SecureContext } from 'node:tls';
import { PamError, type StreamId } from '@sallyport/protocol';
import { Carrier } from '../run/carrier.ts';
import type { RunningSplice } from '../run/splice.ts';
import { systemTimers, type Timers } from '../run/system-timers.ts';
import type { Patience } from '../tls/handshake.ts';
import { judgeClient, secureInstanceLeg } from '../tls/instance-tls.ts';
import { nextFrame } from './next-frame.ts';
import { openingLimits, requireHalfOpen } from './opening-limits.ts';

export interface ServeResumeOptions {
  /** Matched leg from `connectLeg`. Owned from here on. */
  readonly leg: Duplex;
  readonly context: SecureContext;
  /** `cnf` of the request that began the stream: nobody else may resume it. */
  readonly sessionKey: string;
  readonly stream: StreamId;
  /** The stream, or what is left of it: it decides, and answers RESUMED, GONE or RESET. */
  readonly running: Pick<RunningSplice, 'offer'>;
  readonly resumeWithinMs?: number;
  readonly timers?: Timers;
  readonly signal: AbortSignal;
}

/**
 * Serves a leg on which a client wants to resume. Nothing happens to the stream, nor to the carrier that it has, before
 * the client proved the session key and named stream and generation.
 *
 * @returns null when the stream was offered the carrier, else why not. Never rejects.
 */
export async function serveResume(options: ServeResumeOptions): Promise<PamError | null> {
  const timers = options.timers ?? systemTimers;
  const deadlineAtMs = timers.nowMs() + (options.resumeWithinMs ?? openingLimits.withinMs);
  const patience: Patience = { timers, deadlineAtMs, signal: options.signal };
  let carrier: Carrier | null = null;
  try {
    requireHalfOpen(options.leg);
    const tls = await secureInstanceLeg(options.leg, options.context, patience);
    carrier = new Carrier(tls, options.leg, timers);
    const unfit = judgeClient(tls, options.sessionKey, timers.wallMs());
    if (unfit !== null) throw unfit;
    const resume = await nextFrame(carrier, ['resume'], patience);
    if (resume.stream !== options.stream) {
      carrier.send({ kind: 'gone', code: 'unknown', received: 0, final: false });
      throw new PamError('PAM_STREAM_PROTOCOL', 'RESUME names another stream than the leg is for');
    }
    options.running.offer(carrier, resume);
    return null;
  } catch (reason) {
    if (carrier === null) setImmediate(() => breakLeg(options.leg));
    else carrier.close();
    return PamError.from(reason, 'PAM_INTERNAL', 'a carrier could not be served');
  }
}
