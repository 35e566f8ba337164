import { isCandidate, type JournalLine } from './journal-lines.ts';

export interface JournalLimits {
  readonly keptMs: number;
  readonly bytes: number;
  readonly candidates: number;
}
export const journalLimits: JournalLimits = { keptMs: 30 * 86_400_000, bytes: 64 * 1_048_576, candidates: 20_000 };

/** A line, and its length with its end, in bytes. */
interface MeasuredLine {
  readonly line: JournalLine;
  readonly length: number;
}

/**
 * What stays of a journal, in its order: candidates of the last 30 days, and of each account the last number. Over a limit
 * the newest candidates stay, down to half of it: else every further one would have the file written anew.
 */
export function chooseLines<Line extends MeasuredLine>(
  all: readonly Line[],
  nowMs: number,
  limits: JournalLimits,
): readonly Line[] {
  const recent = all.filter(({ line }) => line.atMs >= nowMs - limits.keptMs);
  const candidates = recent.filter(({ line }) => isCandidate(line));
  const bytes = candidates.reduce((sum, { length }) => sum + length, 0);
  const share = bytes > limits.bytes || candidates.length > limits.candidates ? 2 : 1;
  let left = { bytes: limits.bytes / share, candidates: limits.candidates / share };
  const numbered = new Set<string>();
  const newestFirst = recent.toReversed().filter(({ line, length }) => {
    if (!isCandidate(line)) {
      const isLast = !numbered.has(line.account);
      numbered.add(line.account);
      return isLast;
    }
    left = { bytes: left.bytes - length, candidates: left.candidates - 1 };
    return left.bytes >= 0 && left.candidates >= 0;
  });
  return newestFirst.toReversed();
}
