import { PamError } from '@sallyport/protocol';
import type { SessionStore, StreamChange } from './session-store.ts';

/** Changes of streams, written behind in batches and in order: a decision never waits for the disk. */
export interface StreamJournal {
  write(change: StreamChange): void;
  /** Changes that are not stored yet. */
  waiting(): number;
  /** Resolves when everything written so far is stored. */
  flush(): Promise<void>;
}

const gatherMs = 2;
const retryMs = 500;
const batchChanges = 500;
/** Changes that wait while the store is away; over it the newest are lost, and that is logged. */
const waitingChanges = 50_000;

export function createStreamJournal(deps: {
  readonly store: SessionStore;
  readonly after: (ms: number, fn: () => void) => () => void;
  readonly failed: (error: unknown) => void;
}): StreamJournal {
  let waiting: StreamChange[] = [];
  let writing: Promise<void> | null = null;
  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      deps.after(ms, resolve);
    });

  async function drain(): Promise<void> {
    await pause(gatherMs);
    while (waiting.length > 0) {
      const changes = waiting.slice(0, batchChanges);
      try {
        await deps.store.writeStreams({ changes });
        waiting = waiting.slice(changes.length);
      } catch (reason) {
        deps.failed(reason);
        await pause(retryMs);
      }
    }
  }
  function start(): Promise<void> {
    writing ??= drain().finally(() => {
      writing = null;
    });
    return writing;
  }

  return {
    write: (change) => {
      if (waiting.length >= waitingChanges) {
        deps.failed(new PamError('PAM_STORE_AWAY', `a change of stream ${change.stream} cannot be kept`));
        return;
      }
      waiting.push(change);
      void start();
    },
    waiting: () => waiting.length,
    flush: async () => {
      if (waiting.length > 0 || writing !== null) await start();
    },
  };
}
