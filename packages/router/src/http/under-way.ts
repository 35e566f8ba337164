import type { Socket } from 'node:net';
import { endsOf } from '../relay/index.ts';

type Ends = Parameters<typeof endsOf>[0];

/**
 * Connections between their turn and the answer to what they came for, an API call or a hello. TLS wraps a socket in
 * another one and neither knows the other; both have the same ends.
 */
export interface UnderWay {
  /** @param done - called once at most, by `done` for a socket with these ends. Forgotten when the socket closes. */
  began(socket: Socket, done: () => void): void;
  done(socket: Ends): void;
}

export function createUnderWay(): UnderWay {
  const doneOf = new Map<string, () => void>();
  return {
    began: (socket, done) => {
      const ends = endsOf(socket);
      doneOf.set(ends, done);
      socket.once('close', () => {
        if (doneOf.get(ends) === done) doneOf.delete(ends);
      });
    },
    done: (socket) => {
      const ends = endsOf(socket);
      const done = doneOf.get(ends);
      doneOf.delete(ends);
      done?.();
    },
  };
}
