import { giveBackLimits, type Head, PamError } from '@sallyport/protocol';
import { checkHead, type LogState } from './state.ts';

/** Entries after number `after` that one call gives back, in order; at least one while there is one. */
export function nextEntries(entries: readonly string[], after: number): readonly string[] {
  let chars = 0;
  const batch = entries.slice(after + 1, after + 1 + giveBackLimits.entries);
  const fitting = batch.findIndex((entry) => (chars += entry.length) > giveBackLimits.chars);
  return fitting < 0 ? batch : batch.slice(0, Math.max(1, fitting));
}

/**
 * Whether somebody who meets a shorter log gives entries back: not again within ten minutes, so that a router which takes them
 * and goes on showing less makes nobody work for it.
 *
 * @param lastAtMs - when it did so before, on the same clock as `nowMs`; null if never.
 */
export function mayGiveBack(lastAtMs: number | null, nowMs: number): boolean {
  return lastAtMs === null || nowMs - lastAtMs >= giveBackLimits.pauseMs;
}

/**
 * Gives a router that lost entries those of a verified log, call by call, until it knows as much as we do. Others may do the same
 * meanwhile; each call gets further or is the last one.
 *
 * @param entries - the log's, from 0.
 * @param shown - number of the router's last entry, or −1.
 * @param send - hands entries to the router and answers where its log ends then.
 * @returns number of the router's last entry: at least that of ours.
 * @throws PAM_TRUST_SHORTENED when it took entries and is no further, PAM_TRUST_FORKED when its log is another, and what `send` throws.
 * @see docs/adr/0018-restore.md
 */
export async function giveBackEntries(
  log: LogState,
  entries: readonly string[],
  shown: number,
  send: (entries: readonly string[]) => Promise<Head>,
): Promise<number> {
  let at = shown;
  while (at < log.head.n) {
    const next = await endAfter(log, () => send(nextEntries(entries, at)), at);
    if (next <= at) {
      throw new PamError(
        'PAM_TRUST_SHORTENED',
        `the router took entries of the trust log and still ends at entry ${next}; entry ${log.head.n} was seen before`,
        { detail: { why: 'given-back', shown: next, known: log.head.n } },
      );
    }
    at = next;
  }
  return at;
}

/** Where the router's log ends after one call; somebody else may have been faster. */
async function endAfter(log: LogState, send: () => Promise<Head>, at: number): Promise<number> {
  try {
    const head = await send();
    if (head.n <= log.head.n) checkHead(log, head);
    return head.n;
  } catch (reason) {
    if (!(reason instanceof PamError) || reason.code !== 'PAM_TRUST_LOG_MOVED') throw reason;
    const { head } = reason.detail;
    if (typeof head === 'number' && head > at) return head;
    throw new PamError('PAM_TRUST_FORKED', `the router's log does not go on with entry ${at + 1} that is known here`, {
      cause: reason,
      detail: { why: 'given-back', entry: at },
    });
  }
}
