/**
 * Who may begin a handshake, and when: ten thousand instances that come back together must neither cost the router the
 * beats of those that are there nor one another the work done for them.
 *
 * Q1 a token bucket: in any time t at most burst + rate × t are let in.
 * Q2 at most `limit` are under way, from being let in until admitted or answered; it grows while the router is on time
 *    and falls when it is late, so that as many are let in as are finished. Who is slow counts for `countsForMs` only
 *    (time in which the router was slow counts a quarter: else it would let in more because it is late), and somebody
 *    unknown holds at most three quarters of the places.
 * Q3 who comes from an address of a known instance goes first, but one in four that are let in is somebody else's. The
 *    known in the order in which they came; the others in turns of their addresses.
 * Q4 who waits is kept: the other end is patient, and one that hangs up is `gone`. At most `waitingAtMost` wait, an eighth
 *    of them from one unknown address; over it somebody unknown goes, the newest first.
 *
 * Owned by one caller and changed in place (ADR 0005). Times are monotonic milliseconds.
 */
export interface AcceptQueue {
  readonly perSecond: number;
  readonly burst: number;
  readonly waitingAtMost: number;
  /** A look that comes so late says that the router has too much to do. */
  readonly lateMs: number;
  tokens: number;
  atMs: number;
  /** Most under way now. */
  limit: number;
  /** When `limit` was last thought about. */
  weighedAtMs: number;
  /** Let in from `known` since the last of `others`. */
  inRow: number;
  readonly known: Set<number>;
  /** By address; the address whose turn it is comes first. */
  readonly others: Map<string, Set<number>>;
  readonly addressOf: Map<number, string>;
  /** Of the others, as they came; some of them do not wait any more. */
  newest: number[];
  readonly underWay: Map<number, { readonly sinceCalmMs: number; readonly known: boolean }>;
  /** Time so far, of which that in which this router was late counts a quarter. */
  calmMs: number;
  /** Of `underWay`. */
  othersUnderWay: number;
}

export type AcceptEvent =
  | { readonly kind: 'came'; readonly id: number; readonly address: string; readonly known: boolean }
  /** It does not wait any more, or is not under way: admitted, answered or closed. */
  | { readonly kind: 'gone'; readonly id: number }
  /** @property lateMs - how much later than asked for it came. */
  | { readonly kind: 'tick'; readonly lateMs: number };

export interface AcceptStep {
  readonly letIn: readonly number[];
  /** Closed without a word: TLS has none before the handshake. */
  readonly refused: readonly number[];
  /** When the next `tick` is due; null while nobody waits or is under way. */
  readonly wakeInMs: number | null;
}

export const acceptLimits = {
  knownInRow: 3,
  underWayAtFirst: 64,
  underWayAtLeast: 32,
  underWayAtMost: 256,
  countsForMs: 3_000,
  weighEveryMs: 50,
} as const;

export interface AcceptSettings {
  readonly perSecond: number;
  readonly burst: number;
  readonly waitingAtMost: number;
  readonly lateMs: number;
}

export function newAcceptQueue(settings: AcceptSettings, nowMs: number): AcceptQueue {
  return {
    ...settings,
    tokens: settings.burst,
    atMs: nowMs,
    limit: acceptLimits.underWayAtFirst,
    weighedAtMs: nowMs,
    inRow: 0,
    known: new Set(),
    others: new Map(),
    addressOf: new Map(),
    newest: [],
    underWay: new Map(),
    calmMs: 0,
    othersUnderWay: 0,
  };
}

export function waitingIn(queue: AcceptQueue): number {
  return queue.known.size + queue.addressOf.size;
}

export function stepAccept(queue: AcceptQueue, event: AcceptEvent, nowMs: number): AcceptStep {
  const earned = ((nowMs - queue.atMs) * queue.perSecond) / 1_000;
  queue.tokens = Math.min(queue.burst, queue.tokens + Math.max(0, earned));
  queue.atMs = nowMs;
  const refused: number[] = [];
  if (event.kind === 'came') come(queue, event, refused);
  else if (event.kind === 'gone') forget(queue, event.id);
  else weigh(queue, event.lateMs, nowMs);
  for (const [id, { sinceCalmMs }] of queue.underWay) {
    if (queue.calmMs - sinceCalmMs < acceptLimits.countsForMs) break;
    finish(queue, id);
  }
  const letIn: number[] = [];
  for (let next = take(queue); next !== null; next = take(queue)) letIn.push(next);
  const waits = waitingIn(queue) > 0;
  if (!waits && queue.underWay.size === 0) return { letIn, refused, wakeInMs: null };
  const tokenInMs = Math.max(1, Math.ceil(((1 - queue.tokens) * 1_000) / queue.perSecond));
  const wantsToken = waits && queue.tokens < 1 && tokenInMs < acceptLimits.weighEveryMs;
  return { letIn, refused, wakeInMs: wantsToken ? tokenInMs : acceptLimits.weighEveryMs };
}

function come(queue: AcceptQueue, came: Extract<AcceptEvent, { kind: 'came' }>, refused: number[]): void {
  const { id, address, known } = came;
  const isFull = waitingIn(queue) >= queue.waitingAtMost;
  if (known) {
    const makesRoom = isFull ? takeNewestOther(queue) : null;
    if (makesRoom !== null) refused.push(makesRoom);
    if (isFull && makesRoom === null) refused.push(id);
    else queue.known.add(id);
    return;
  }
  const here = queue.others.get(address) ?? new Set();
  if (isFull || here.size >= Math.max(1, queue.waitingAtMost / 8)) return void refused.push(id);
  queue.others.set(address, here.add(id));
  queue.addressOf.set(id, address);
  queue.newest.push(id);
  if (queue.newest.length <= 2 * queue.waitingAtMost) return;
  queue.newest = queue.newest.filter((each) => queue.addressOf.has(each));
}

function takeNewestOther(queue: AcceptQueue): number | null {
  for (let id = queue.newest.pop(); id !== undefined; id = queue.newest.pop()) {
    if (!queue.addressOf.has(id)) continue;
    leave(queue, id);
    return id;
  }
  return null;
}

/** One of the others waits no longer. */
function leave(queue: AcceptQueue, id: number): void {
  const address = queue.addressOf.get(id);
  if (address === undefined) return;
  queue.addressOf.delete(id);
  const here = queue.others.get(address);
  here?.delete(id);
  if (here?.size === 0) queue.others.delete(address);
}

function forget(queue: AcceptQueue, id: number): void {
  queue.known.delete(id);
  leave(queue, id);
  finish(queue, id);
}

function finish(queue: AcceptQueue, id: number): void {
  const one = queue.underWay.get(id);
  if (one === undefined) return;
  queue.underWay.delete(id);
  if (!one.known) queue.othersUnderWay -= 1;
}

/** Additive growth while the places are all taken and the router is on time, a quarter less when it is late. */
function weigh(queue: AcceptQueue, lateMs: number, nowMs: number): void {
  if (nowMs - queue.weighedAtMs < acceptLimits.weighEveryMs) return;
  const isLate = lateMs > queue.lateMs;
  const passedMs = Math.min(nowMs - queue.weighedAtMs, acceptLimits.countsForMs / 10);
  queue.calmMs += isLate ? passedMs / 4 : passedMs;
  queue.weighedAtMs = nowMs;
  const isTaken = queue.underWay.size >= (queue.limit * 3) / 4 && waitingIn(queue) > 0;
  if (isLate) queue.limit = Math.max(acceptLimits.underWayAtLeast, Math.floor((queue.limit * 3) / 4));
  else if (isTaken) queue.limit = Math.min(acceptLimits.underWayAtMost, queue.limit + 2);
}

/** One token's worth: the oldest of the known, or of the others when it is their turn. */
function take(queue: AcceptQueue): number | null {
  if (queue.tokens < 1 || queue.underWay.size >= queue.limit) return null;
  const othersMay = queue.others.size > 0 && queue.othersUnderWay < Math.max(1, (queue.limit * 3) / 4);
  const isOthersTurn = othersMay && (queue.known.size === 0 || queue.inRow >= acceptLimits.knownInRow);
  const id = isOthersTurn ? takeOther(queue) : takeKnown(queue);
  if (id === null) return null;
  queue.tokens -= 1;
  queue.inRow = isOthersTurn ? 0 : queue.inRow + 1;
  queue.underWay.set(id, { sinceCalmMs: queue.calmMs, known: !isOthersTurn });
  if (isOthersTurn) queue.othersUnderWay += 1;
  return id;
}

function takeKnown(queue: AcceptQueue): number | null {
  const [id] = queue.known;
  if (id === undefined) return null;
  queue.known.delete(id);
  return id;
}

/** The oldest of the address whose turn it is, which then comes last. */
function takeOther(queue: AcceptQueue): number | null {
  for (const [address, here] of queue.others) {
    for (const id of here) {
      leave(queue, id);
      queue.others.delete(address);
      if (here.size > 0) queue.others.set(address, here);
      return id;
    }
  }
  return null;
}
