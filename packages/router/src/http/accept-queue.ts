/**
 * Paces TLS handshakes: a burst at once, then so many a second; the others wait their turn, so that a thousand instances
 * that come back together do not cost the router the beats of those that are there.
 *
 * Q1 a token bucket: in any time t at most burst + rate × t are let in.
 * Q2 who comes from an address of a known instance goes first, but one in four that are let in is somebody else's.
 * Q3 at most `waitingAtMost` wait, for `waitingAtMostMs`; over it somebody unknown goes, the newest first.
 *
 * Owned by one caller and changed in place (ADR 0005). Times are monotonic milliseconds.
 */
export interface AcceptQueue {
  readonly perSecond: number;
  readonly burst: number;
  tokens: number;
  atMs: number;
  /** Let in from `known` since the last of `others`. */
  inRow: number;
  readonly known: Map<number, number>;
  readonly others: Map<number, number>;
}

export type AcceptEvent =
  | { readonly kind: 'came'; readonly id: number; readonly known: boolean }
  | { readonly kind: 'gone'; readonly id: number }
  | { readonly kind: 'tick' };

export interface AcceptStep {
  readonly letIn: readonly number[];
  /** Closed without a word: TLS has none before the handshake. */
  readonly refused: readonly number[];
  /** When the next `tick` is due; null while nobody waits. */
  readonly wakeInMs: number | null;
}

export const acceptLimits = { waitingAtMost: 2_000, waitingAtMostMs: 8_000, knownInRow: 3 } as const;

export function newAcceptQueue(perSecond: number, burst: number, nowMs: number): AcceptQueue {
  return { perSecond, burst, tokens: burst, atMs: nowMs, inRow: 0, known: new Map(), others: new Map() };
}

export function stepAccept(queue: AcceptQueue, event: AcceptEvent, nowMs: number): AcceptStep {
  const earned = ((nowMs - queue.atMs) * queue.perSecond) / 1_000;
  queue.tokens = Math.min(queue.burst, queue.tokens + Math.max(0, earned));
  queue.atMs = nowMs;
  if (event.kind === 'came') (event.known ? queue.known : queue.others).set(event.id, nowMs);
  else if (event.kind === 'gone') for (const waiting of [queue.known, queue.others]) waiting.delete(event.id);
  const refused = [...takeLate(queue.known, nowMs), ...takeLate(queue.others, nowMs)];
  const letIn: number[] = [];
  for (let next = take(queue); next !== null; next = take(queue)) letIn.push(next);
  while (queue.known.size + queue.others.size > acceptLimits.waitingAtMost) {
    refused.push(takeNewest(queue.others) ?? takeNewest(queue.known) ?? 0);
  }
  const waits = queue.known.size + queue.others.size > 0;
  const wakeInMs = waits ? Math.max(1, Math.ceil(((1 - queue.tokens) * 1_000) / queue.perSecond)) : null;
  return { letIn, refused, wakeInMs };
}

/** One token's worth: the oldest of the known, or of the others when it is their turn. */
function take(queue: AcceptQueue): number | null {
  if (queue.tokens < 1) return null;
  const isOthersTurn = queue.others.size > 0 && (queue.known.size === 0 || queue.inRow >= acceptLimits.knownInRow);
  const from = isOthersTurn ? queue.others : queue.known;
  for (const id of from.keys()) {
    from.delete(id);
    queue.tokens -= 1;
    queue.inRow = isOthersTurn ? 0 : queue.inRow + 1;
    return id;
  }
  return null;
}

function takeLate(waiting: Map<number, number>, nowMs: number): readonly number[] {
  const late: number[] = [];
  for (const [id, cameMs] of waiting) {
    if (nowMs - cameMs < acceptLimits.waitingAtMostMs) break;
    waiting.delete(id);
    late.push(id);
  }
  return late;
}

function takeNewest(waiting: Map<number, number>): number | undefined {
  const newest = [...waiting.keys()].at(-1);
  if (newest !== undefined) waiting.delete(newest);
  return newest;
}
