import { type InstanceId, PamError, type StreamId } from '@sallyport/protocol';
import { Carrier } from '../run/carrier.ts';
import type { DetachedStream, Reattached } from '../run/splice.ts';
import { systemTimers } from '../run/system-timers.ts';
import { secureClientLeg } from '../tls/client-tls.ts';
import type { Patience } from '../tls/handshake.ts';
import { nextFrame } from './next-frame.ts';
import type { ClientStreamOptions } from './open-client-stream.ts';
import { openingLimits, requireHalfOpen } from './opening-limits.ts';

export interface ResumeOptions
  extends Pick<ClientStreamOptions, 'leg' | 'context' | 'verifyInstance' | 'openWithinMs' | 'timers' | 'signal'> {
  readonly stream: StreamId;
  /** The instance that holds the stream; no other of the pool will do. */
  readonly instance: InstanceId;
  /** Greater than every generation used for this stream so far. */
  readonly gen: number;
  readonly received: DetachedStream['received'];
}

/**
 * Says RESUME over a matched leg, after a full new handshake with the same two keys.
 *
 * @throws PAM_INSTANCE_UNVERIFIED, PAM_STREAM_PROTOCOL: no use in trying again; PAM_STREAM_LOST, PAM_TIMEOUT: another leg
 *   may do. The leg is destroyed.
 * @see docs/protocol.md "Resume"
 */
export async function resumeClientStream(options: ResumeOptions): Promise<Reattached> {
  const timers = options.timers ?? systemTimers;
  const deadlineAtMs = timers.nowMs() + (options.openWithinMs ?? openingLimits.withinMs);
  const patience: Patience = { timers, deadlineAtMs, signal: options.signal };
  requireHalfOpen(options.leg);
  const { tls, instance } = await secureClientLeg({ ...options, patience });
  const carrier = new Carrier(tls, options.leg, timers);
  const { stream, gen, received } = options;
  try {
    if (instance !== options.instance) {
      throw new PamError('PAM_INSTANCE_UNVERIFIED', `instance ${instance} answered for a stream of another`, {
        detail: { why: 'other-instance' },
      });
    }
    carrier.send({ kind: 'resume', stream, gen, received });
    const answer = await nextFrame(carrier, ['resumed', 'gone'], patience);
    if (answer.kind === 'resumed') return { kind: 'resumed', carrier, gen, told: received, received: answer.received };
    carrier.close();
    return answer;
  } catch (reason) {
    carrier.drop();
    throw PamError.from(reason, 'PAM_INTERNAL', 'the stream could not be resumed');
  }
}
