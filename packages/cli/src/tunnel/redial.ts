import { type ErrorCode, errorCatalog, PamError } from '@sallyport/protocol';
import type { Reattach, Reattached } from '@sallyport/stream';
import type { Clock } from '../time/clock.ts';

/**
 * Milliseconds. Full jitter below a ceiling that doubles: a router that starts is not asked by all streams at once.
 * `refusedMostMs`: the ceiling while nobody listens there, which costs nobody anything, and a router that starts is met
 * early; not after `refusedTimes` in a row. `askedMostMs`: more than this a router does not mean for a stream that ends
 * after 60 s.
 */
export const redialTimes = {
  firstMs: 50,
  mostMs: 1_000,
  refusedMostMs: 200,
  refusedTimes: 100,
  askedMostMs: 30_000,
  attemptMs: 10_000,
} as const;

/**
 * What asking again would not change. Somebody else who answers in the router's place is not among them: nothing was sent
 * to him, and a captive portal goes away.
 */
const finalCodes: ReadonlySet<ErrorCode> = new Set([
  'PAM_STREAM_GONE',
  'PAM_STREAM_PROTOCOL',
  'PAM_SESSION_ENDED',
  'PAM_SESSION_KILLED',
  'PAM_INSTANCE_UNVERIFIED',
  'PAM_NOT_FOUND',
  'PAM_NOT_ALLOWED',
  'PAM_DEVICE_UNKNOWN',
  'PAM_GATEWAY_REMOVED',
]);

export type NextDial = { readonly kind: 'stop' } | { readonly kind: 'again'; readonly afterMs: number };

/**
 * What follows a dial that failed; pure.
 *
 * @param failures - dials of this loss that failed before, 0 or more.
 * @param jitter - 0 to 1.
 */
export function nextDial(failures: number, error: PamError, jitter: number): NextDial {
  if (finalCodes.has(error.code)) return { kind: 'stop' };
  const mostMs =
    isRefused(error) && failures < redialTimes.refusedTimes ? redialTimes.refusedMostMs : redialTimes.mostMs;
  const ceiling = Math.min(mostMs, redialTimes.firstMs * 2 ** Math.min(failures, 10));
  const asked = error.detail['retryAfterMs'];
  if (typeof asked !== 'number' || !(asked > 0)) return { kind: 'again', afterMs: jitter * ceiling };
  const atLeastMs = Math.min(asked, redialTimes.askedMostMs);
  return { kind: 'again', afterMs: atLeastMs + jitter * Math.min(ceiling, atLeastMs) };
}

/** The machine is there and nobody listens. */
function isRefused({ cause }: PamError): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ECONNREFUSED';
}

/** One dial: ask a router for a leg to the instance, and say RESUME on it. `signal` fires when it takes too long. */
export type ResumeDial = (
  offset: { readonly gen: number; readonly received: number },
  signal: AbortSignal,
) => Promise<Reattached>;

/**
 * Looks for another carrier of one stream, one dial after the other, each with a greater generation, until one succeeds,
 * trying again is of no use, or it is not wanted any more. How long in all is the stream's limit.
 */
export function createReattach(
  deps: { readonly clock: Clock; readonly jitter: () => number },
  dial: ResumeDial,
): Reattach {
  const { clock, jitter } = deps;
  let gen = 1;
  return async ({ gen: taken, received }, signal) => {
    gen = Math.max(gen, taken);
    await clock.sleep(jitter() * redialTimes.firstMs, signal);
    for (let failures = 0; ; failures++) {
      gen++;
      try {
        return await dialOnce(clock, (life) => dial({ gen, received }, life), signal);
      } catch (reason) {
        const error = PamError.from(reason, 'PAM_INTERNAL', 'the dial for a lost carrier failed');
        const next = nextDial(failures, error, jitter());
        if (signal.aborted || next.kind === 'stop') throw error;
        await clock.sleep(next.afterMs, signal);
      }
    }
  };
}

async function dialOnce(
  clock: Clock,
  dial: (signal: AbortSignal) => Promise<Reattached>,
  signal: AbortSignal,
): Promise<Reattached> {
  const own = new AbortController();
  const { promise: late, reject } = Promise.withResolvers<never>();
  const cancel = clock.after(redialTimes.attemptMs, () =>
    reject(new PamError('PAM_TIMEOUT', `no carrier within ${redialTimes.attemptMs / 1_000} s`)),
  );
  const stop = (): void => reject(new PamError('PAM_INTERRUPTED', errorCatalog.PAM_INTERRUPTED.meaning));
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([dial(own.signal), late]);
  } catch (reason) {
    own.abort(reason);
    throw reason;
  } finally {
    cancel();
    signal.removeEventListener('abort', stop);
  }
}
