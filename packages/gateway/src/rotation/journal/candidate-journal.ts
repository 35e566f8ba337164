import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Log } from '../../agent/index.ts';
import { chooseLines, type JournalLimits, journalLimits } from './choose-lines.ts';
import { type FilePiece, journalFile } from './journal-file.ts';
import { isCandidate, type JournalLine, type KeptCandidate, readLine, readLines } from './journal-lines.ts';

/** What is known of a kept candidate without its envelope. `digest`: SHA-256 of the envelope, base64url. */
export type KeptEntry = Omit<KeptCandidate, 'envelope'> & { readonly digest: string };

/**
 * The sealed candidates that this instance staged or took over, so that a router restored from an older backup gets back
 * what it lost (architecture section 3, limit 4).
 *
 * C1 a candidate that was staged here is on the disk before anything is written with it to a target.
 * C2 nothing is here in clear: the very bytes that the store acknowledged, and numbers.
 * C3 what is older than 30 days goes; over the limits the oldest go first.
 */
export interface CandidateJournal {
  /** Settles when it survives a power cut; kept before, it settles at once. @throws PAM_CONFIG_INVALID. */
  keep(candidate: Omit<KeptCandidate, 'atMs'>): Promise<void>;
  /** A write was permitted under this number; not waited for, since nothing may come between a permit and its write. */
  sent(account: string, epoch: number, send: number): void;
  /** Oldest first. */
  entries(): readonly KeptEntry[];
  /** Highest numbers seen of an account; 0 without any. */
  seen(account: string): { readonly epoch: number; readonly send: number };
  /** The sealed candidate; null: it is gone, or is not what it was. */
  envelope(digest: string): Promise<string | null>;
}

interface Waiting {
  readonly line: JournalLine;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

const digestOf = (envelope: string): string => createHash('sha256').update(envelope).digest('base64url');

/**
 * Opens the journal of one installation in a state folder, which is this process's alone. What has to go goes now.
 *
 * @throws PAM_CONFIG_INVALID when the folder cannot be read or written.
 */
export async function openCandidateJournal(
  at: { readonly stateDir: string; readonly anchor: string },
  deps: { readonly nowMs: () => number; readonly log: Log },
  limits: JournalLimits = journalLimits,
): Promise<CandidateJournal> {
  const { nowMs, log } = deps;
  const name = createHash('sha256').update(at.anchor).digest('hex').slice(0, 16);
  const file = journalFile(join(at.stateDir, `candidates-${name}.log`));
  const entries = new Map<string, KeptEntry & FilePiece>();
  const numbers = new Map<string, { readonly epoch: number; readonly send: number }>();
  let bytes = 0;
  let waiting: Waiting[] = [];
  let isWriting = false;
  await shorten();

  function learn(line: JournalLine, piece: FilePiece): void {
    const known = numbers.get(line.account) ?? { epoch: 0, send: 0 };
    const send = isCandidate(line) ? known.send : Math.max(known.send, line.send);
    numbers.set(line.account, { epoch: Math.max(known.epoch, line.epoch), send });
    bytes = piece.offset + piece.length;
    if (!isCandidate(line)) return;
    const { envelope, ...entry } = line;
    const digest = digestOf(envelope);
    entries.set(digest, { ...entry, digest, ...piece });
  }

  async function shorten(): Promise<void> {
    const before = await file.read();
    const all = [...readLines(before)];
    const kept = chooseLines(all, nowMs(), limits);
    const length = kept.reduce((sum, line) => sum + line.length, 0);
    const isShorter = length < before.length;
    if (isShorter) {
      await file.replace(kept.map(({ line }) => JSON.stringify(line)));
      log.info('the journal of candidates was shortened', { lines: all.length, kept: kept.length, bytes: length });
    }
    entries.clear();
    numbers.clear();
    bytes = 0;
    for (const placed of kept) {
      learn(placed.line, { offset: isShorter ? bytes : placed.offset, length: placed.length });
    }
  }

  function isFull(): boolean {
    const [oldest] = entries.values();
    const isOld = oldest !== undefined && oldest.atMs < nowMs() - limits.keptMs;
    return isOld || bytes > limits.bytes || entries.size > limits.candidates;
  }

  /** What comes in while the disk is busy goes out together, under one sync. */
  async function writeAll(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      try {
        if (isFull()) await shorten();
        const texts = batch.map(({ line }) => JSON.stringify(line));
        let offset = await file.append(texts);
        for (const [i, { line }] of batch.entries()) {
          const length = Buffer.byteLength(texts[i] ?? '') + 1;
          learn(line, { offset, length });
          offset += length;
        }
        for (const { done } of batch) done();
      } catch (reason) {
        for (const { failed } of batch) failed(reason);
      }
    }
    isWriting = false;
  }

  function write(line: JournalLine): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    waiting.push({ line, done: resolve, failed: reject });
    if (!isWriting) {
      isWriting = true;
      void writeAll();
    }
    return promise;
  }

  return {
    keep: async (candidate) => {
      if (entries.has(digestOf(candidate.envelope))) return;
      await write({ ...candidate, atMs: nowMs() });
    },
    sent: (account, epoch, send) => {
      write({ atMs: nowMs(), account, epoch, send }).catch((error: unknown) =>
        log.error('the number of a write could not be kept', { error: String(error) }),
      );
    },
    entries: () => [...entries.values()],
    seen: (account) => numbers.get(account) ?? { epoch: 0, send: 0 },
    envelope: async (digest) => {
      const entry = entries.get(digest);
      const line = entry === undefined ? null : readLine(await file.piece(entry));
      return line !== null && isCandidate(line) && digestOf(line.envelope) === digest ? line.envelope : null;
    },
  };
}
