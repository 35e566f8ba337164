import { giveBackLimits, PamError } from '@sallyport/protocol';
import { giveBackEntries, type LogState, mayGiveBack } from '@sallyport/seal';
import type { ControlLink } from '../link/control-link.ts';
import type { Log } from '../runtime.ts';
import type { TrustMemory } from './trust-memory.ts';

const callWithinMs = 8_000;

/**
 * Gives entries of the trust log back to a router that was restored from an older backup, before the hello: such a router may not
 * know this gateway yet, or only its former keys.
 *
 * G1 only after a refused hello whose router named a last entry below ours, over the next link, and not again for ten minutes.
 * G2 what the router shows afterwards is compared as ever: nothing is believed, whatever it took.
 *
 * @see docs/adr/0018-restore.md
 */
export interface LogGiver {
  /** @throws PAM_TRUST_FORKED when the router's log is another one. What it does not take is for the hello to find. */
  beforeHello(link: Pick<ControlLink, 'call'>): Promise<void>;
  /** What a refused hello is to the link's life: one whose cause may go away by giving back is tried again. */
  refused(error: PamError): PamError;
}

export function createLogGiver(deps: {
  readonly trust: Pick<TrustMemory, 'log' | 'entries'>;
  readonly monotonicMs: () => number;
  readonly log: Log;
}): LogGiver {
  const { trust, log } = deps;
  let shown: number | null = null;
  let gaveAtMs: number | null = null;
  return {
    beforeHello: async (link) => {
      if (shown === null) return;
      const after = shown;
      shown = null;
      gaveAtMs = deps.monotonicMs();
      const known = trust.log();
      try {
        await giveBackEntries(known, await trust.entries(), after, async (entries) => {
          const { head } = await link.call('log.give-back', { entries: [...entries] }, { timeoutMs: callWithinMs });
          return head;
        });
        log.warn('the router lost entries of the trust log; this instance gave them back', {
          first: after + 1,
          last: known.head.n,
        });
      } catch (reason) {
        const error = PamError.from(reason, 'PAM_INTERNAL', 'entries of the trust log could not be given back');
        if (error.code === 'PAM_TRUST_FORKED') throw error;
        log.warn('the router lost entries of the trust log and did not take them back', {
          code: error.code,
          error: error.message,
        });
      }
    },
    refused: (error) => {
      const behind = lastOfRouter(error, trust.log());
      if (behind === null || !mayGiveBack(gaveAtMs, deps.monotonicMs())) return error;
      shown = behind;
      return new PamError(
        'PAM_TRUST_BEHIND',
        `the router's trust log ends at entry ${behind}, here it ends at ${trust.log().head.n}: this instance gives back what is missing`,
        { cause: error, detail: { ...error.detail, known: trust.log().head.n } },
      );
    },
  };
}

/**
 * Number of the router's last entry, when it refused a hello and knows less than we do: because of that, or because to it this
 * gateway or its keys are not there yet. Else null.
 */
export function lastOfRouter(error: PamError, known: Pick<LogState, 'head'>): number | null {
  const isCurable = error.code === 'PAM_TRUST_BEHIND' || error.code === 'PAM_INSTANCE_REFUSED';
  const { shown } = error.detail;
  if (!isCurable || typeof shown !== 'number' || !Number.isInteger(shown)) return null;
  return shown >= 0 && shown < known.head.n && known.head.n - shown <= mostLost ? shown : null;
}

/** What one link may give back at most. */
const mostLost = 32 * giveBackLimits.entries;
