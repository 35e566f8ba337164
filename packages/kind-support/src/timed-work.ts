import { PamError } from '@sallyport/protocol';
import type { KindIo } from '@sallyport/rotation';

/**
 * Does work that ends with `signal` and after `ms`: it is told by its own signal, and not waited for any longer then.
 *
 * @throws PAM_TARGET_TIMEOUT after `ms`; `signal.reason`; whatever `work` throws.
 */
export async function timedWork<T>(
  io: Pick<KindIo, 'schedule'>,
  ms: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const limit = new AbortController();
  const { promise: over, reject } = Promise.withResolvers<never>();
  const end = (reason: unknown): void => {
    limit.abort(reason);
    reject(reason);
  };
  const cancel = io.schedule(ms, () => end(new PamError('PAM_TARGET_TIMEOUT', 'the target did not answer in time')));
  const onAbort = (): void => end(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work(limit.signal), over]);
  } finally {
    cancel();
    signal.removeEventListener('abort', onAbort);
  }
}
