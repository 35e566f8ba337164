import type { AlertMessage } from '@sallyport/protocol';

/**
 * Messages on their way to the one endpoint, as one synchronous step.
 *
 * O1 at most one request is out; the next begins when it ended.
 * O2 one message waits for each alert: a newer one takes the place of an older that nobody got, so what waits is bounded
 *    by the alerts there are, and an endpoint that was away hears how things stand, not how they were.
 * O3 after a failure nothing is sent for a full-jittered, doubling pause, or as long as the endpoint asked, both ≤ 5 min.
 */
export interface Outbox {
  readonly waiting: readonly AlertMessage[];
  /** `delivery` of the message that is out. */
  readonly out: string | null;
  readonly failures: number;
  readonly notBeforeMs: number;
}

export type OutboxEvent =
  | { readonly kind: 'add'; readonly message: AlertMessage }
  | { readonly kind: 'delivered' }
  | { readonly kind: 'failed'; readonly retryAfterMs: number | null }
  | { readonly kind: 'tick' };

export type OutboxEffect =
  | { readonly kind: 'post'; readonly message: AlertMessage; readonly attempt: number }
  | { readonly kind: 'dropped'; readonly message: AlertMessage };

const firstPauseMs = 1_000;
const mostPauseMs = 300_000;
export const mostWaiting = 500;

export function newOutbox(waiting: readonly AlertMessage[] = []): Outbox {
  return { waiting, out: null, failures: 0, notBeforeMs: 0 };
}

/** @param now - monotonic milliseconds, and one number in [0, 1). */
export function stepOutbox(
  box: Outbox,
  event: OutboxEvent,
  now: { readonly nowMs: number; readonly random: number },
): { readonly box: Outbox; readonly effects: readonly OutboxEffect[] } {
  const { box: changed, dropped } = apply(box, event, now);
  const effects: OutboxEffect[] = dropped.map((message) => ({ kind: 'dropped', message }));
  const [next] = changed.waiting;
  if (next === undefined || changed.out !== null || now.nowMs < changed.notBeforeMs) return { box: changed, effects };
  effects.push({ kind: 'post', message: next, attempt: changed.failures + 1 });
  return { box: { ...changed, out: next.delivery }, effects };
}

function apply(
  box: Outbox,
  event: OutboxEvent,
  now: { readonly nowMs: number; readonly random: number },
): { readonly box: Outbox; readonly dropped: readonly AlertMessage[] } {
  switch (event.kind) {
    case 'add':
      return add(box, event.message);
    case 'delivered': {
      const waiting = box.waiting.filter(({ delivery }) => delivery !== box.out);
      return { box: { waiting, out: null, failures: 0, notBeforeMs: 0 }, dropped: [] };
    }
    case 'failed': {
      const backoffMs = now.random * Math.min(mostPauseMs, firstPauseMs * 2 ** Math.min(box.failures, 20));
      const pauseMs = Math.min(mostPauseMs, Math.max(backoffMs, event.retryAfterMs ?? 0));
      const failed = box.waiting.find(({ delivery }) => delivery === box.out);
      const rest = box.waiting.filter((each) => each !== failed);
      const isReplaced = failed !== undefined && rest.some(({ key }) => key === failed.key);
      const waiting = isReplaced ? rest.map((each) => inPlaceOf(failed, each)) : box.waiting;
      const next = { waiting, out: null, failures: box.failures + 1, notBeforeMs: now.nowMs + pauseMs };
      return { box: next, dropped: [] };
    }
    case 'tick':
      return { box, dropped: [] };
    default:
      return event satisfies never;
  }
}

function add(box: Outbox, message: AlertMessage): { readonly box: Outbox; readonly dropped: readonly AlertMessage[] } {
  const isOlder = (each: AlertMessage): boolean => each.key === message.key && each.delivery !== box.out;
  const older = box.waiting.find(isOlder);
  const rest = box.waiting.filter((each) => !isOlder(each));
  const waiting = [...rest, older === undefined ? message : inPlaceOf(older, message)];
  const dropped =
    waiting.length > mostWaiting ? waiting.filter(({ delivery }) => delivery !== box.out).slice(0, 1) : [];
  return { box: { ...box, waiting: waiting.filter((each) => !dropped.includes(each)) }, dropped };
}

/** Nobody heard that it fires, so it does not fire "still". */
function inPlaceOf(older: AlertMessage, newer: AlertMessage): AlertMessage {
  const isFirst = older.key === newer.key && older.status === 'firing' && newer.status === 'still-firing';
  return isFirst ? { ...newer, status: 'firing' } : newer;
}
