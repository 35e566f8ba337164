import type { Readable } from 'node:stream';
import { frameLimits } from '../frame/frame.ts';

/**
 * Reads a socket at most 64 KiB per turn of the event loop (invariant S9), so that hundreds of bulk streams cannot
 * starve a heartbeat. `pause` and `resume` are the caller's own wish and add to the turn's.
 */
export interface TurnReader {
  pause(): void;
  resume(): void;
  stop(): void;
}

const bytesPerTurn = frameLimits.data;

/**
 * Starts reading.
 *
 * @param onBytes - gets every chunk as it is; must not throw.
 */
export function readByTurns(source: Readable, onBytes: (bytes: Uint8Array) => void): TurnReader {
  let turnBytes = 0;
  let wanted = true;
  let turnSet = false;
  const nextTurn = (): void => {
    turnSet = false;
    const full = turnBytes >= bytesPerTurn;
    turnBytes = 0;
    if (full && wanted) source.resume();
  };
  const onData = (bytes: Uint8Array): void => {
    turnBytes += bytes.length;
    if (turnBytes >= bytesPerTurn) source.pause();
    if (!turnSet) {
      turnSet = true;
      setImmediate(nextTurn);
    }
    onBytes(bytes);
  };
  source.on('data', onData);
  source.resume();
  return {
    pause() {
      wanted = false;
      source.pause();
    },
    resume() {
      wanted = true;
      if (turnBytes < bytesPerTurn) source.resume();
    },
    stop() {
      wanted = false;
      source.off('data', onData);
    },
  };
}
