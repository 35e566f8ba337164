import type { Duplex } from 'node:stream';
import type { KindIo } from '@sallyport/rotation';
import type { Document } from 'bson';
import { readMessage, writeMessage } from './message.ts';

/** `lost`: nobody knows what the server did with the command; the connection is closed. */
type MongoReply =
  | { readonly kind: 'replied'; readonly document: Document }
  | { readonly kind: 'lost'; readonly why: string };
interface AskLimits {
  readonly withinMs: number;
  readonly signal: AbortSignal;
}

/**
 * A connection to one server of MongoDB over a stream that somebody else dialled. It never dials, discovers nothing, tries
 * nothing twice, and sends one command at a time.
 *
 * M1 A command is written in the turn of the call, or never.
 * M2 What a server can make us keep is one message of at most 256 KiB.
 * M3 After `lost` nothing is sent any more, and no timer, listener or socket is left.
 */
export interface MongoConnection {
  ask(database: string, command: Document, limits: AskLimits): Promise<MongoReply>;
  /** Idempotent. */
  close(): void;
}

interface Waiting {
  readonly id: number;
  readonly settle: (reply: MongoReply) => void;
}

export function openMongoConnection(stream: Duplex, io: Pick<KindIo, 'schedule'>): MongoConnection {
  let waiting: Waiting | null = null;
  let lastId = 0;
  let isOpen = true;
  let chunks: Buffer[] = [];
  let kept = 0;
  let needed = 0;

  function settle(reply: MongoReply): void {
    const ended = waiting;
    waiting = null;
    ended?.settle(reply);
  }

  function lose(why: string): void {
    if (!isOpen) return;
    isOpen = false;
    chunks = [];
    stream.off('data', onData).off('end', onEnd).off('close', onEnd).off('error', onError);
    // A stream that is being destroyed may still fail.
    stream.on('error', () => {});
    stream.destroy();
    settle({ kind: 'lost', why });
  }

  function onData(chunk: Buffer): void {
    kept += chunk.byteLength;
    chunks.push(chunk);
    // Copied together again only when all of it is there: a slow drip must not cost its square.
    if (kept < needed) return;
    const bytes = Buffer.concat(chunks);
    const read = readMessage(bytes);
    if (read.kind === 'broken') return lose(`the server sent ${read.why}`);
    if (read.kind === 'incomplete') {
      needed = read.needs;
      chunks = [bytes];
      return;
    }
    if (read.to !== waiting?.id || bytes.byteLength > read.length)
      return lose('the server answered what was not asked');
    chunks = [];
    kept = 0;
    needed = 0;
    settle({ kind: 'replied', document: read.document });
  }

  const onEnd = (): void => lose('the server closed the connection');
  const onError = (error: Error): void =>
    lose(`the connection broke (${'code' in error && typeof error.code === 'string' ? error.code : error.name})`);
  stream.on('data', onData).on('end', onEnd).on('close', onEnd).on('error', onError);
  // Dialled streams come paused.
  stream.resume();

  return {
    ask(database, command, { withinMs, signal }) {
      if (signal.aborted || !isOpen || waiting !== null)
        return Promise.resolve({ kind: 'lost', why: isOpen ? 'it was given up' : 'the connection is closed' });
      return new Promise((resolve) => {
        const cancel = io.schedule(withinMs, () => lose('the server did not answer in time'));
        const onAbort = (): void => lose('it was given up');
        signal.addEventListener('abort', onAbort, { once: true });
        lastId += 1;
        waiting = {
          id: lastId,
          settle: (reply) => {
            cancel();
            signal.removeEventListener('abort', onAbort);
            resolve(reply);
          },
        };
        stream.write(writeMessage(lastId, { ...command, $db: database }));
      });
    },
    close: () => lose('the connection was closed'),
  };
}
