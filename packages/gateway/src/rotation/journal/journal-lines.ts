import {
  envelopeSchema,
  generationSchema,
  hashSchema,
  itemUidSchema,
  jobIdSchema,
  revisionSchema,
} from '@sallyport/protocol';
import { z } from 'zod';

const number = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const of = { atMs: number, account: hashSchema, epoch: number };
const candidateSchema = z.strictObject({
  ...of,
  server: hashSchema,
  record: itemUidSchema,
  job: jobIdSchema,
  rev: revisionSchema,
  gen: generationSchema,
  envelope: envelopeSchema,
});
/** A write was permitted under this number. */
const sendSchema = z.strictObject({ ...of, send: number });
const lineSchema = z.union([candidateSchema, sendSchema]);

/** One line of the journal: sealed, or numbers; nothing of it tells a name or a secret. */
export type JournalLine = Readonly<z.infer<typeof lineSchema>>;
/** A candidate as the store acknowledged it, and who it is of. `atMs`: when it was kept. */
export type KeptCandidate = Readonly<z.infer<typeof candidateSchema>>;

export const isCandidate = (line: JournalLine): line is KeptCandidate => 'envelope' in line;

/** Null: no line of ours. */
export function readLine(text: string): JournalLine | null {
  try {
    return lineSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

interface PlacedLine {
  readonly line: JournalLine;
  /** Bytes from the beginning of the file, and with its line end. */
  readonly offset: number;
  readonly length: number;
}

/** Every line of a journal, oldest first; what is no line of ours is left out. */
export function* readLines(bytes: Buffer): Generator<PlacedLine> {
  for (let offset = 0; offset < bytes.length; ) {
    const end = bytes.indexOf(0x0a, offset);
    if (end === -1) return;
    const line = readLine(bytes.toString('utf8', offset, end));
    if (line !== null) yield { line, offset, length: end + 1 - offset };
    offset = end + 1;
  }
}
