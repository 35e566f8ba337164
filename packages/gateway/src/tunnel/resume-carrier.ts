import type { Duplex } from 'node:stream';
import type { SecureContext } from 'node:tls';
import { type LinkParams, type LinkResult, PamError, toWireError } from '@sallyport/protocol';
import { serveResume } from '@sallyport/stream';
import type { Log, WorkloadContext } from '../agent/index.ts';
import type { RunningStream, StreamTable } from './stream-table.ts';

export interface ResumeDeps {
  readonly streams: Pick<StreamTable, 'resumable'>;
  readonly log: Log;
  /** Wall time, Unix milliseconds. */
  readonly nowMs: () => number;
  readonly legOf: (ticket: string, context: WorkloadContext) => Promise<Duplex>;
  readonly tlsContext: () => Promise<SecureContext>;
  /** The instance stops: legs that wait for a RESUME are given up. */
  readonly signal: AbortSignal;
}

/** Legs of one stream on which somebody may be about to resume. An honest client dials one after the other. */
const legsAtOnce = 4;

/**
 * Another leg for a stream, at the router's word. The router begins nothing by it: the stream and its carrier are
 * touched only after the holder of the session key said RESUME, and a stream whose request is over, or whose device may
 * not connect any more, is ended instead.
 *
 * @see docs/protocol.md "Resume"
 */
export function resumeCarrier(
  params: LinkParams<'stream.resume'>,
  deps: ResumeDeps,
  context: WorkloadContext,
): LinkResult<'stream.resume'> {
  const running = deps.streams.resumable(params.stream);
  if (running === undefined || running.session !== params.session) {
    return refuse(new PamError('PAM_STREAM_GONE', 'the instance knows no such stream'));
  }
  const over = whyOver(running, deps, context);
  if (over !== null) return refuse(over);
  if (running.resuming >= legsAtOnce) {
    return refuse(
      new PamError('PAM_RATE_LIMITED', 'too many legs at once for this stream', { detail: { retryAfterMs: 500 } }),
    );
  }
  running.resuming += 1;
  void serve(params, running, deps, context).finally(() => {
    running.resuming -= 1;
  });
  return { kind: 'accepted' };
}

const refuse = (error: PamError): LinkResult<'stream.resume'> => ({ kind: 'refused', error: toWireError(error) });

/** A request that is over, or a device that lost its right, ends the stream: no carrier outlives them. */
function whyOver(running: RunningStream, deps: ResumeDeps, context: WorkloadContext): PamError | null {
  const { until, iss } = running.request;
  if (deps.nowMs() >= until * 1_000) {
    running.controller.abort('deadline');
    return new PamError('PAM_SESSION_ENDED', 'the signed request of this stream is over');
  }
  if (!context.log().grants(iss, 'connect')) {
    running.controller.abort('not-allowed');
    return new PamError('PAM_NOT_ALLOWED', 'the device that began this stream may not connect any more');
  }
  return null;
}

async function serve(
  { stream, ticket }: LinkParams<'stream.resume'>,
  running: RunningStream,
  deps: ResumeDeps,
  context: WorkloadContext,
): Promise<void> {
  const door = running.opened;
  if (door === null) return;
  try {
    const [leg, tls] = await Promise.all([deps.legOf(ticket, context), deps.tlsContext()]);
    // Not the stream's own signal: an ended one still answers who asks.
    const { signal } = deps;
    const error = await serveResume({
      leg,
      context: tls,
      sessionKey: running.request.cnf,
      stream,
      running: door,
      signal,
    });
    if (error !== null) throw error;
  } catch (reason) {
    const error = PamError.from(reason, 'PAM_LEG_FAILED', 'a leg for a stream that lost its carrier failed');
    deps.log.warn('stream not resumed on this leg', { stream, code: error.code, error: error.message });
  }
}
