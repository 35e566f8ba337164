import { type Head, giveBackLog, PamError } from '@sallyport/protocol';
import { checkHead, createLog, foldLog, giveBackEntries, mayGiveBack } from '@sallyport/seal';
import type { ProfileStore } from '../profile/profile-store.ts';
import type { Clock } from '../time/clock.ts';
import { shortened } from './heads.ts';
import type { RouterClient } from './router-client.ts';

/**
 * Gives the router entries of the trust log that it lost: it was restored from an older backup, or it rolled back, which looks the
 * same and gains nothing by being told again what it hid.
 *
 * G1 at most once in ten minutes of one process; a router that shows less again after that is refused (PAM_TRUST_SHORTENED).
 * G2 a reply that was asked for before entries were given back may show less; any later one may not.
 *
 * @see docs/adr/0018-restore.md
 */
export interface LogGiver {
  /** How often it gave back; whoever asks the router notes it first. */
  times(): number;
  /**
   * A reply shows a log that ends at `shown`, below what is known. `asked`: what `times` said when it was asked for.
   *
   * @throws PAM_TRUST_SHORTENED when nothing is left to do, PAM_TRUST_FORKED, and what the router says to the entries.
   */
  giveBack(shown: Head, known: Head, asked: number): Promise<void>;
}

export function createLogGiver(deps: {
  /** Asked for when it is needed: the client itself watches for heads. */
  readonly client: () => Pick<RouterClient, 'call'>;
  readonly store: Pick<ProfileStore, 'readLog'>;
  readonly anchor: string;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** One plain line for the user. */
  readonly tell: (text: string) => void;
}): LogGiver {
  let times = 0;
  let gaveAtMs: number | null = null;
  let giving: Promise<void> | null = null;

  const give = async (shown: Head, known: Head): Promise<void> => {
    gaveAtMs = deps.clock.monotonicMs();
    const entries = await deps.store.readLog();
    const log = await foldLog(createLog(deps.anchor), entries);
    if (shown.n >= log.head.n) throw shortened(shown.n, known.n);
    checkHead(log, shown);
    try {
      await giveBackEntries(log, entries, shown.n, async (batch) => {
        // Until the last call the log is shorter, which is what this is about: compared is what `send` answers.
        const input = { body: { entries: [...batch] } };
        const { head } = await deps.client().call(giveBackLog, input, { unwatched: true });
        return head;
      });
    } catch (reason) {
      // A router that does not know the route is an older one.
      if (reason instanceof PamError && reason.code === 'PAM_NOT_FOUND') throw shortened(shown.n, known.n);
      throw reason;
    }
    times += 1;
    const which = log.head.n === shown.n + 1 ? `entry ${log.head.n}` : `entries ${shown.n + 1} to ${log.head.n}`;
    deps.tell(`The router had lost ${which} of the trust log; this device gave back what was missing.\n`);
  };

  return {
    times: () => times,
    giveBack: async (shown, known, asked) => {
      if (asked < times) return;
      if (giving === null) {
        if (!mayGiveBack(gaveAtMs, deps.clock.monotonicMs())) throw shortened(shown.n, known.n);
        giving = give(shown, known).finally(() => {
          giving = null;
        });
      }
      await giving;
    },
  };
}
