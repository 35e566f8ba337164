import type { Readable } from 'node:stream';
import { frameLimits } from '../frame/frame.ts';
import { scratchSink } from './local-scratch.ts';

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
/** A read this close to the limit is the turn's last: the next one could be as large again. */
const fullTurnBytes = bytesPerTurn - frameLimits.header;

/**
 * Starts reading.
 *
 * @param onBytes - gets every chunk; of a socket made by `connectLocal` it is good during the call only.
 */
export function readByTurns(source: Readable, onBytes: (bytes: Uint8Array) => void): TurnReader {
  let turnBytes = 0;
  let wanted = true;
  let turnSet = false;
  const nextTurn = (): void => {
    turnSet = false;
    const full = turnBytes >= fullTurnBytes;
    turnBytes = 0;
    if (full && wanted) source.resume();
  };
  const take = (bytes: Uint8Array): boolean => {
    turnBytes += bytes.length;
    if (!turnSet) {
      turnSet = true;
      setImmediate(nextTurn);
    }
    onBytes(bytes);
    return wanted && turnBytes < fullTurnBytes;
  };
  const onData = (bytes: Uint8Array): void => {
    if (turnBytes + bytes.length >= fullTurnBytes) source.pause();
    take(bytes);
  };
  const sink = scratchSink(source);
  if (sink === null) source.on('data', onData);
  else sink.onBytes = take;
  source.resume();
  return {
    pause() {
      wanted = false;
      source.pause();
    },
    resume() {
      wanted = true;
      if (turnBytes < fullTurnBytes) source.resume();
    },
    stop() {
      wanted = false;
      source.off('data', onData);
      if (sink !== null) sink.onBytes = () => true;
    },
  };
}
