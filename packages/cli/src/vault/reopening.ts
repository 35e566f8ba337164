import { type AuditChainEnd, mostAuditEnds } from '@sallyport/protocol';
import { digestOf } from '@sallyport/seal';
import { z } from 'zod';
import type { Memory } from '../profile/memory.ts';

/** Events of one start of the router that were seen and are not there any more. */
export interface LostEvents {
  readonly start: number;
  /** Number of the last event that is left; 0 when none is. */
  readonly left: number;
  readonly seen: number;
}

/** What this profile saw of starts before a restore and the router has lost. */
export function lostAuditEvents(
  remembered: Memory['auditHeads'],
  lastStart: number,
  ends: readonly AuditChainEnd[],
): readonly LostEvents[] {
  const left = new Map(ends.map(([start, seq]) => [start, seq]));
  return Object.entries(remembered)
    .map(([start, { seq }]) => ({ start: Number(start), left: left.get(Number(start)) ?? 0, seen: seq }))
    .filter((one) => one.start <= lastStart && one.seen > one.left)
    .sort((a, b) => a.start - b.start);
}

const bodySchema = z.object({
  device: z.string(),
  incarnation: z.int(),
  lastStart: z.int(),
  ends: z.string(),
  headN: z.int(),
  headHash: z.string(),
});

/** A person's word, found in the audit log, that a restore is over. */
export interface Reopening {
  readonly device: string;
  /** Starts up to this one are from before the restore. */
  readonly lastStart: number;
  /** Digest of the ends that were left of them. */
  readonly ends: string;
}

/**
 * Reads the row of a reopening; null when what its device signed is something else.
 *
 * @param digest - of the signed event in the row.
 */
export async function readReopening(body: string, digest: string): Promise<Reopening | null> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return null;
  }
  const parsed = bodySchema.safeParse(value);
  if (!parsed.success) return null;
  const { device, incarnation, lastStart, ends, headN, headHash } = parsed.data;
  const signed = { incarnation, head: { n: headN, hash: headHash }, lastStart, ends };
  return (await digestOf(signed)) === digest ? { device, lastStart, ends } : null;
}

/** Are these still the ends that were signed? `ends` by start, of all that were met. */
export async function holdsEnds(
  reopening: Reopening,
  ends: ReadonlyMap<number, { readonly seq: number; readonly hash: string }>,
): Promise<boolean> {
  const left = [...ends]
    .filter(([start]) => start <= reopening.lastStart)
    .sort(([a], [b]) => a - b)
    .slice(-mostAuditEnds)
    .map(([start, { seq, hash }]): AuditChainEnd => [start, seq, hash]);
  return (await digestOf(left)) === reopening.ends;
}
