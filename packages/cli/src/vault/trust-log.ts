import { type Head, PamError, readLog } from '@sallyport/protocol';
import {
  checkFloor,
  createLog,
  foldLog,
  type LogEntryBody,
  type LogState,
  type SigningKey,
  signEntry,
} from '@sallyport/seal';
import { compareLogHead } from '../api/heads.ts';
import type { LogGiver } from '../api/give-back-log.ts';
import type { RouterClient } from '../api/router-client.ts';
import type { ProfileStore } from '../profile/profile-store.ts';
import { type Clock, nowSeconds } from '../time/clock.ts';

/** Attempts to append when others append at the same time. */
const appendAttempts = 6;

/**
 * The trust log as this profile has verified it. Everything kept was folded from the anchor; it never gets shorter (a router that
 * lost entries is given them back, once), and what is fetched must continue it (PAM_TRUST_FORKED, PAM_TRUST_SHORTENED, PAM_TRUST_ANCHOR, PAM_TRUST_ENTRY_INVALID).
 */
export interface TrustLog {
  state(): LogState;
  entries(): readonly string[];
  /** Fetches and verifies what is new. */
  sync(): Promise<LogState>;
  /** Until entry `head.n` is known, with this hash. PAM_TRUST_BEHIND when the router does not show it. */
  atLeast(head: Head): Promise<LogState>;
  /**
   * Signs entries on top of the log and hands them to `send`; when somebody else was first (PAM_TRUST_LOG_MOVED),
   * fetches and signs anew. What `send` acknowledged is kept.
   */
  append<T>(
    bodies: readonly LogEntryBody[],
    signer: SigningKey,
    send: (entries: readonly string[], after: LogState) => Promise<T>,
  ): Promise<T>;
}

export async function openTrustLog(deps: {
  readonly client: RouterClient;
  readonly store: Pick<ProfileStore, 'readLog' | 'keepLog' | 'readMemory' | 'remember'>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly jitter: () => number;
  readonly anchor: string;
  readonly floor: Head;
  /** Without one a shorter log is an error at once. */
  readonly giver?: LogGiver;
}): Promise<TrustLog> {
  const { client, store, clock, giver } = deps;
  let entries: readonly string[] = await store.readLog();
  let state = await foldLog(createLog(deps.anchor), entries);

  const keep = async (more: readonly string[], next: LogState) => {
    entries = [...entries, ...more.slice(more.length - (next.head.n - state.head.n))];
    state = next;
    await store.keepLog(entries);
    const { head } = next;
    await store.remember({ logHead: { n: head.n, hash: head.hash } });
  };
  let syncing: Promise<LogState> | null = null;
  const sync = async () => {
    syncing ??= fetchNew().finally(() => {
      syncing = null;
    });
    return syncing;
  };
  const fetchNew = async () => {
    const remembered = (await store.readMemory()).logHead;
    for (;;) {
      const known = state.head.n < 0 ? null : state.head;
      const asked = giver?.times() ?? 0;
      const reply = await client.call(readLog, { query: { from: state.head.n + 1 } });
      if (giver !== undefined && known !== null && reply.head.n < known.n) {
        await giver.giveBack(reply.head, known, asked);
        continue;
      }
      if (compareLogHead(known, reply.head) === 'same') break;
      if (reply.entries.length === 0) {
        throw new PamError(
          'PAM_TRUST_BEHIND',
          `the router names entry ${reply.head.n} of the trust log but does not show it`,
        );
      }
      await keep(reply.entries, await foldLog(state, reply.entries));
    }
    checkFloor(state, deps.floor);
    if (remembered !== null) checkFloor(state, remembered);
    return state;
  };
  return {
    state: () => state,
    entries: () => entries,
    sync,
    atLeast: async (head) => {
      if (state.head.n < head.n) await sync();
      if (state.head.n < head.n) {
        throw new PamError(
          'PAM_TRUST_BEHIND',
          `entry ${head.n} of the trust log is known elsewhere; the router shows ${state.head.n}`,
        );
      }
      if (state.hashes[head.n] !== head.hash) {
        throw new PamError('PAM_TRUST_FORKED', `entry ${head.n} of the trust log is another one elsewhere`);
      }
      return state;
    },
    append: async (bodies, signer, send) => {
      for (let attempt = 1; ; attempt++) {
        let after = state;
        const signed: string[] = [];
        for (const body of bodies) {
          const entry = await signEntry(after, body, signer, nowSeconds(clock));
          signed.push(entry);
          after = await foldLog(after, [entry]);
        }
        try {
          const answer = await send(signed, after);
          await keep(signed, after);
          return answer;
        } catch (reason) {
          const moved = reason instanceof PamError && reason.code === 'PAM_TRUST_LOG_MOVED';
          if (!moved || attempt >= appendAttempts) throw reason;
          await clock.sleep(Math.round(20 * 2 ** attempt * deps.jitter()), deps.signal);
          await sync();
        }
      }
    },
  };
}
