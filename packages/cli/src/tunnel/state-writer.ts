import { PamError } from '@sallyport/protocol';
import type { TunnelState } from './registry.ts';

/**
 * Writes what a tunnel says of itself, one write at a time and always the newest: thousands of connections that come
 * and go are a handful of writes. `pam tunnel list` of the next moment may be a moment old.
 */
export interface StateWriter {
  changed(state: TunnelState): void;
  /** From here on states are written; the newest one said before is written at once. */
  write(to: (state: TunnelState) => Promise<void>): void;
  /** No write is under way any more, and none follows. */
  end(): Promise<void>;
}

export function createStateWriter(): StateWriter {
  let newest: TunnelState | null = null;
  let to: ((state: TunnelState) => Promise<void>) | null = null;
  let writing: Promise<void> | null = null;
  let over = false;

  const drain = async (write: (state: TunnelState) => Promise<void>): Promise<void> => {
    for (let state = newest; state !== null && !over; state = newest) {
      newest = null;
      try {
        await write(state);
      } catch (reason) {
        // The list is a convenience: a full disk must not end a tunnel.
        if (!(reason instanceof PamError)) throw reason;
      }
    }
  };
  const start = () => {
    if (over || to === null || newest === null || writing !== null) return;
    const write = to;
    writing = drain(write).finally(() => {
      writing = null;
      start();
    });
  };
  return {
    changed: (state) => {
      newest = state;
      start();
    },
    write: (write) => {
      to = write;
      start();
    },
    end: async () => {
      over = true;
      await writing;
    },
  };
}
