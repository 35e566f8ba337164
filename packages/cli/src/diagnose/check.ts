import { errorCatalog, type ErrorCode, PamError } from '@sallyport/protocol';
import type { Clock } from '../time/clock.ts';

/**
 * One step of a diagnosis. `skipped` says that it was not tried, because something before it failed or time was over;
 * `warning` that it works but not as it should.
 */
export interface Check {
  readonly id: string;
  /** What was looked at, in a few words. */
  readonly title: string;
  readonly status: 'ok' | 'warning' | 'failed' | 'skipped';
  /** What was found. */
  readonly text: string;
  readonly tookMs: number;
  readonly code: ErrorCode | null;
  readonly remedy: string | null;
}

/** What a step found; a PamError thrown instead means that it failed. */
export interface Finding<T> {
  readonly text: string;
  readonly value: T;
  /** Works, but: the sentence, and what to do. */
  readonly warning?: { readonly text: string; readonly remedy: string };
}

/** Runs steps in order and tells each as soon as it is over. */
export interface Checklist {
  /** Runs one step. Answers null when it failed or was skipped; steps that need it give `needs` and are skipped too. */
  run<T>(
    id: string,
    title: string,
    needs: readonly unknown[],
    work: (signal: AbortSignal) => Promise<Finding<T>>,
  ): Promise<T | null>;
  /** Adds a step that was measured elsewhere. */
  add(check: Check): void;
  readonly checks: readonly Check[];
}

/**
 * @param life - ends everything: aborted by the total timeout or by Ctrl-C.
 * @param told - called for each step, in order.
 */
export function createChecklist(
  clock: Pick<Clock, 'monotonicMs'>,
  life: AbortSignal,
  told: (check: Check) => void,
): Checklist {
  const checks: Check[] = [];
  const add = (check: Check) => {
    checks.push(check);
    told(check);
  };
  return {
    checks,
    add,
    run: async (id, title, needs, work) => {
      const skip = (text: string) => {
        add({ id, title, status: 'skipped', text, tookMs: 0, code: null, remedy: null });
        return null;
      };
      if (needs.includes(null)) return skip('not tried: a step before it failed');
      if (life.aborted) return skip('not tried: out of time');
      const sinceMs = clock.monotonicMs();
      const tookMs = () => Math.round(clock.monotonicMs() - sinceMs);
      try {
        const { text, value, warning } = await untilAborted(work(life), life);
        add({
          ...{ id, title, tookMs: tookMs(), code: null, remedy: warning?.remedy ?? null },
          status: warning === undefined ? 'ok' : 'warning',
          text: warning === undefined ? text : `${text}; ${warning.text}`,
        });
        return value;
      } catch (reason) {
        add(failedCheck(id, title, reason, tookMs()));
        return null;
      }
    },
  };
}

/** A failure as a step shows it. */
export function failedCheck(id: string, title: string, reason: unknown, tookMs: number): Check {
  const error = PamError.from(reason, 'PAM_INTERNAL', reason instanceof Error ? reason.message : 'it failed');
  const { code, message, remedy } = error;
  return { id, title, status: 'failed', text: message, tookMs, code, remedy };
}

/** Waits for `work`, but not past the end of `life`; what comes later is dropped. */
async function untilAborted<T>(work: Promise<T>, life: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = () => reject(PamError.from(life.reason, 'PAM_INTERRUPTED', 'interrupted'));
  life.addEventListener('abort', stop, { once: true });
  if (life.aborted) stop();
  work.catch(() => undefined);
  try {
    return await Promise.race([work, promise]);
  } finally {
    life.removeEventListener('abort', stop);
  }
}

/** Exit code of a diagnosis: that of the first failure, 75 when time was over before the end, else 0. */
export function exitOf(checks: readonly Check[]): number {
  const failed = checks.find((one) => one.status === 'failed');
  if (failed !== undefined && failed.code !== null) return errorCatalog[failed.code].exit;
  return checks.some((one) => one.status === 'skipped') ? errorCatalog.PAM_TIMEOUT.exit : 0;
}
