import { type Head, PamError } from '@sallyport/protocol';
import { createLog, entryHash, foldLog, type LogState, peekEntry } from '@sallyport/seal';
import type { LogRow, TrustStore } from './trust-store.ts';

/** What a commit has to write so that the log moves: rows right after `expected`. */
interface LogAppend {
  readonly expected: Head | null;
  readonly entries: readonly LogRow[];
}

type Commit<T> = (append: LogAppend, next: LogState) => Promise<T>;

/**
 * The router's copy of the trust log: every entry is verified as any reader would (seal's fold) before it is stored.
 * The state in memory is a mirror for early checks; readers verify for themselves.
 *
 * T1 appends run one after the other, so each sees the state the one before left.
 * T2 the state moves only after the transaction that stored the entries.
 * T3 after a restore no new entry is taken until somebody says so: one who never saw the lost entries would fork the log for all
 *    who did. Lost ones that are given back are taken; they pass the same checks.
 */
export interface TrustLog {
  state(): LogState;
  /** `null` while the router has no owner. */
  head(): Head | null;
  /**
   * Verifies `entries`, then runs `commit` with the rows to store and the state they lead to.
   *
   * @throws PAM_TRUST_LOG_MOVED when they do not follow the head, PAM_TRUST_ENTRY_INVALID, PAM_TRUST_RESTORED, and what
   *   `commit` throws.
   */
  append<T>(entries: readonly string[], commit: Commit<T>): Promise<T>;
  /** The same for entries that the router lost. PAM_ROUTER_NOT_CLAIMED while it has none at all. */
  giveBack<T>(entries: readonly string[], commit: Commit<T>): Promise<T>;
  /** At most 500 entries from number `from`, with the head. PAM_ROUTER_NOT_CLAIMED while there is none. */
  read(from: number): Promise<{ readonly entries: string[]; readonly head: Head }>;
  /** Called after each move, with the new head. */
  onMoved(listener: (head: Head) => void): void;
}

const pageEntries = 500;

async function readAll(store: TrustStore): Promise<LogState> {
  let state = createLog('');
  for (let from = 0; ; ) {
    const rows = await store.listEntries({ from, limit: pageEntries });
    const first = rows[0];
    if (first === undefined) return state;
    if (state.head.n < 0) state = createLog(first.hash);
    state = await foldLog(
      state,
      rows.map((row) => row.entry),
    );
    from += rows.length;
  }
}

function claimedHead(state: LogState): Head | null {
  return state.head.n < 0 ? null : state.head;
}

/** Does the first entry continue the head? Told apart here so that a client that lost a race is told so. */
function checkFollows(state: LogState, entries: readonly string[]): void {
  const first = entries[0];
  if (first === undefined) throw new PamError('PAM_BAD_REQUEST', 'no trust log entry was given');
  const { n, prev } = peekEntry(first);
  if (n === state.head.n + 1 && prev === state.head.hash) return;
  throw new PamError(
    'PAM_TRUST_LOG_MOVED',
    `the trust log stands at entry ${state.head.n}, the new one is number ${n}`,
    {
      detail: { head: state.head.n, entry: n },
    },
  );
}

/**
 * Reads and verifies the stored log.
 *
 * @param refusal - why a new entry is not taken now; null when it is.
 * @throws what seal says of the first bad entry.
 */
export async function openTrustLog(store: TrustStore, refusal: () => PamError | null = () => null): Promise<TrustLog> {
  let state = await readAll(store);
  let last: Promise<unknown> = Promise.resolve();
  const listeners: ((head: Head) => void)[] = [];

  async function appendNow<T>(entries: readonly string[], commit: Commit<T>): Promise<T> {
    checkFollows(state, entries);
    const base = state.head.n < 0 ? createLog(await entryHash(entries[0] ?? '')) : state;
    const next = await foldLog(base, entries);
    const from = state.head.n + 1;
    // The fold passes over what it knows: an entry that comes twice would be stored under two numbers.
    if (next.head.n !== state.head.n + entries.length) {
      throw new PamError('PAM_TRUST_ENTRY_INVALID', 'an entry of the trust log was given twice', {
        detail: { why: 'twice' },
      });
    }
    const rows = entries.map((entry, i) => ({ n: from + i, hash: next.hashes[from + i] ?? '', entry }));
    const result = await commit({ expected: claimedHead(state), entries: rows }, next);
    state = next;
    for (const listener of listeners) listener(next.head);
    return result;
  }

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const run = last.then(work);
    last = run.catch(() => undefined);
    return run;
  }

  return {
    state: () => state,
    head: () => claimedHead(state),
    append: (entries, commit) =>
      inTurn(async () => {
        const refused = refusal();
        if (refused !== null) throw refused;
        return appendNow(entries, commit);
      }),
    giveBack: (entries, commit) =>
      inTurn(async () => {
        if (state.head.n < 0) throw new PamError('PAM_ROUTER_NOT_CLAIMED', 'this router has no owner yet');
        return appendNow(entries, commit);
      }),
    read: async (from) => {
      const head = claimedHead(state);
      if (head === null) throw new PamError('PAM_ROUTER_NOT_CLAIMED', 'this router has no owner yet');
      const rows = await store.listEntries({ from, limit: pageEntries });
      return { entries: rows.filter((row) => row.n <= head.n).map((row) => row.entry), head };
    },
    onMoved: (listener) => listeners.push(listener),
  };
}
