import type { Duplex } from 'node:stream';
import type { KindIo } from '@sallyport/rotation';
import { readElement } from './ber.ts';
import { type LdapAnswer, type LdapEntry, type LdapOperation, type LdapResult, readAnswer } from './ldap-answer.ts';
import { type LdapRequest, writeRequest } from './ldap-request.ts';

/** How one request ended. `lost`: nobody knows what the server did with it; the connection is closed. */
export type LdapReply =
  | { readonly kind: 'replied'; readonly result: LdapResult; readonly entries: readonly LdapEntry[] }
  | { readonly kind: 'lost'; readonly why: string };
export interface AskLimits {
  readonly withinMs: number;
  readonly signal: AbortSignal;
}

/**
 * An LDAP connection over a stream that somebody else dialled. It never dials, never follows a referral, and sends one
 * request at a time.
 *
 * L1 A request is written in the turn of the call, or never.
 * L2 What a server can make us keep is one message (256 KiB) and what it may send for one request (1 MiB, 64 entries).
 * L3 After `lost` nothing is sent any more, and no timer, listener or socket is left.
 */
export interface LdapConnection {
  ask(request: Exclude<LdapRequest, { kind: 'unbind' }>, limits: AskLimits): Promise<LdapReply>;
  readonly isOpen: () => boolean;
  /** Gives the stream back, for TLS to begin on it; null when bytes came that nobody asked for. */
  release(): Duplex | null;
  /** Says goodbye where it can, and closes. Idempotent. */
  close(): void;
}

const maxAnswerBytes = 1_048_576;
const maxEntries = 64;

interface Waiting {
  readonly id: number;
  readonly of: LdapOperation;
  readonly entries: LdapEntry[];
  readonly settle: (reply: LdapReply) => void;
}

export function openLdapConnection(stream: Duplex, io: Pick<KindIo, 'schedule'>): LdapConnection {
  let waiting: Waiting | null = null;
  let lastId = 0;
  let isOpen = true;
  let chunks: Buffer[] = [];
  let kept = 0;
  let needed = 0;
  let received = 0;

  function lose(why: string): void {
    if (!isOpen) return;
    isOpen = false;
    chunks = [];
    detach();
    stream.destroy();
    settle({ kind: 'lost', why });
  }

  function settle(reply: LdapReply): void {
    const ended = waiting;
    waiting = null;
    ended?.settle(reply);
  }

  function take(answer: LdapAnswer | null): void {
    if (answer === null) return lose('the server sent something that is no LDAP answer');
    if (answer.id === 0) return lose('the server ended the connection');
    if (answer.id !== waiting?.id) return lose('the server answered what was not asked');
    if (answer.kind === 'entry') {
      waiting.entries.push(answer.entry);
      if (waiting.entries.length > maxEntries) lose('the server sent more entries than were asked for');
    } else if (answer.kind === 'result') {
      if (answer.of !== waiting.of) return lose('the server answered another operation');
      settle({ kind: 'replied', result: answer.result, entries: waiting.entries });
    }
  }

  function onData(chunk: Buffer): void {
    received += chunk.byteLength;
    kept += chunk.byteLength;
    chunks.push(chunk);
    if (received > maxAnswerBytes) return lose('the server sent more than an answer can be');
    if (kept < needed) return;
    let bytes = Buffer.concat(chunks);
    while (isOpen) {
      const read = readElement(bytes);
      if (read.kind === 'broken') return lose(`the server sent ${read.why}`);
      // Copied together again only when all of it is there: a slow drip must not cost its square.
      needed = read.kind === 'incomplete' ? read.needs : 0;
      if (read.kind === 'incomplete') break;
      bytes = bytes.subarray(read.length);
      take(readAnswer(read.element));
    }
    if (!isOpen) return;
    chunks = bytes.byteLength === 0 ? [] : [bytes];
    kept = bytes.byteLength;
  }

  const onEnd = (): void => lose('the server closed the connection');
  const onError = (error: Error): void => lose(`the connection broke (${codeOf(error)})`);
  function detach(): void {
    stream.off('data', onData).off('end', onEnd).off('close', onEnd).off('error', onError);
    // A stream that is being destroyed may still fail.
    stream.on('error', () => {});
  }
  stream.on('data', onData).on('end', onEnd).on('close', onEnd).on('error', onError);
  // Dialled streams come paused.
  stream.resume();

  return {
    isOpen: () => isOpen,
    ask(request, { withinMs, signal }) {
      if (signal.aborted || !isOpen || waiting !== null)
        return Promise.resolve({ kind: 'lost', why: isOpen ? 'it was given up' : 'the connection is closed' });
      return new Promise((resolve) => {
        const cancel = io.schedule(withinMs, () => lose('the server did not answer in time'));
        const onAbort = (): void => lose('it was given up');
        signal.addEventListener('abort', onAbort, { once: true });
        lastId += 1;
        received = kept;
        waiting = {
          id: lastId,
          of: request.kind,
          entries: [],
          settle: (reply) => {
            cancel();
            signal.removeEventListener('abort', onAbort);
            resolve(reply);
          },
        };
        stream.write(writeRequest(lastId, request));
      });
    },
    release() {
      if (!isOpen || kept > 0 || waiting !== null) {
        lose('the server sent bytes before TLS began');
        return null;
      }
      isOpen = false;
      stream.off('data', onData).off('end', onEnd).off('close', onEnd).off('error', onError);
      return stream.pause();
    },
    close() {
      if (!isOpen) return;
      stream.write(writeRequest(lastId + 1, { kind: 'unbind' }));
      isOpen = false;
      detach();
      settle({ kind: 'lost', why: 'the connection was closed' });
      stream.end(() => stream.destroy());
      stream.resume();
    },
  };
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
