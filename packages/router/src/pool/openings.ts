import type { InstanceId, ItemUid, StreamId } from '@sallyport/protocol';

/**
 * Streams on their way: picked for, and not yet opened, ended or given up. They are what evidence about targets is
 * taken from (ejections.ts), and what a member that warms up has a limit of.
 *
 * O1 an instance's word about a stream counts only when the stream was given to it.
 * O2 at most `openingsAtMost` a pool and `openingLifeMs` each; what is forgotten is no evidence.
 *
 * Owned by a pool and changed in place; times are of the judge's clock.
 */
export type Openings = Map<StreamId, Opening>;

export interface Opening {
  readonly resource: ItemUid;
  readonly sinceMs: number;
  readonly asked: Map<InstanceId, Asked>;
  openedBy: InstanceId | null;
}

interface Asked {
  readonly atMs: number;
  /** On its way there; over, or opened elsewhere; by its own word the target cannot be reached from there. */
  readonly stage: 'counted' | 'settled' | 'unreached';
}

const openingLifeMs = 30_000;
const openingsAtMost = 20_000;

/** Notes a pick. Answers the stream that had to be forgotten for it, with those it was counted at. */
export function noteAsked(
  openings: Openings,
  stream: StreamId,
  of: { readonly resource: ItemUid; readonly instance: InstanceId; readonly judgeMs: number },
): Opening | null {
  const asked: Asked = { atMs: of.judgeMs, stage: 'counted' };
  const known = openings.get(stream);
  if (known !== undefined) {
    known.asked.set(of.instance, asked);
    return null;
  }
  openings.set(stream, {
    resource: of.resource,
    sinceMs: of.judgeMs,
    asked: new Map([[of.instance, asked]]),
    openedBy: null,
  });
  return openings.size > openingsAtMost ? takeFirst(openings) : null;
}

function takeFirst(openings: Openings): Opening | null {
  for (const [stream, opening] of openings) {
    openings.delete(stream);
    return opening;
  }
  return null;
}

const none: Opening[] = [];

/** Takes out those past their life. */
export function takeOldOpenings(openings: Openings, judgeMs: number): readonly Opening[] {
  let old: Opening[] = none;
  for (const [stream, opening] of openings) {
    if (judgeMs - opening.sinceMs < openingLifeMs) break;
    openings.delete(stream);
    if (old === none) old = [opening];
    else old.push(opening);
  }
  return old;
}
