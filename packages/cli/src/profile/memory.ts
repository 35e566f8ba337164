import { hashSchema, headSchema, jwsSchema } from '@sallyport/protocol';
import { z } from 'zod';

const revisionSchema = z.strictObject({ rev: z.int().min(1), hash: hashSchema });
const auditHeadSchema = z.strictObject({ seq: z.int().min(0), hash: z.string().max(43), jws: jwsSchema });
const chainEndSchema = z.strictObject({ seq: z.int().min(0), hash: z.string().max(43) });
const chainSchema = z.strictObject({ ...chainEndSchema.shape, pending: chainEndSchema.nullable() });

const revsSchema = z.record(z.string().max(64), revisionSchema);
const auditHeadsSchema = z.record(z.string().max(20), auditHeadSchema);
const chainsSchema = z.record(z.string().max(64), chainSchema);

/** What this profile has seen and will not go behind. */
export const memorySchema = z.strictObject({
  v: z.literal(1),
  logHead: headSchema.nullable(),
  /** Highest revision seen of each part, `UID/part`, with the hash of that envelope. */
  revs: revsSchema,
  /** Highest head seen of each start of the router. */
  auditHeads: auditHeadsSchema,
  /** End of this device's own chain of signed events; `pending` was sent and not yet acknowledged. */
  chains: chainsSchema,
});
export type Memory = z.infer<typeof memorySchema>;

/** What was seen since: only the entries that may be news. */
export const sightingSchema = z.strictObject({
  logHead: z.exactOptional(headSchema),
  revs: z.exactOptional(revsSchema),
  auditHeads: z.exactOptional(auditHeadsSchema),
  chains: z.exactOptional(chainsSchema),
});
export type Sighting = z.infer<typeof sightingSchema>;

/** Nothing seen yet. */
export const newMemory = (): Memory => ({ v: 1, logHead: null, revs: {}, auditHeads: {}, chains: {} });

const keptStarts = 100;

/**
 * What of `seen` the memory does not have: higher revisions and heads, and the chains, which their holder alone writes.
 *
 * @returns null when there is nothing, so that nothing needs to be written.
 */
export function newsIn(memory: Memory, seen: Sighting): Sighting | null {
  const revs = higher(seen.revs, memory.revs, (one) => one.rev);
  const auditHeads = higher(seen.auditHeads, memory.auditHeads, (one) => one.seq);
  const logHead = seen.logHead !== undefined && seen.logHead.n > (memory.logHead?.n ?? -1) ? seen.logHead : undefined;
  const news: Sighting = {
    ...(logHead === undefined ? {} : { logHead }),
    ...(revs === null ? {} : { revs }),
    ...(auditHeads === null ? {} : { auditHeads }),
    ...(seen.chains === undefined ? {} : { chains: seen.chains }),
  };
  return Object.keys(news).length === 0 ? null : news;
}

/**
 * The memory with news. `revs` stays the same object and gains them: it has an entry for each part of the vault, and a
 * copy for each record of an import would cost the square of their number. Keeps the audit heads of the 100 latest starts.
 */
export function withNews(memory: Memory, news: Sighting): Memory {
  Object.assign(memory.revs, news.revs);
  return {
    v: 1,
    logHead: news.logHead ?? memory.logHead,
    revs: memory.revs,
    auditHeads:
      news.auditHeads === undefined ? memory.auditHeads : latestStarts({ ...memory.auditHeads, ...news.auditHeads }),
    chains: news.chains === undefined ? memory.chains : { ...memory.chains, ...news.chains },
  };
}

/** Several sightings as one; of the same entry the highest, of a chain the last. */
export function together(sightings: readonly Sighting[]): Sighting {
  const all = newMemory();
  const { revs, auditHeads, chains, logHead } = sightings.reduce<Memory>((memory, seen) => {
    const news = newsIn(memory, seen);
    return news === null ? memory : withNews(memory, news);
  }, all);
  return { revs, auditHeads, chains, ...(logHead === null ? {} : { logHead }) };
}

function higher<T>(
  seen: Readonly<Record<string, T>> | undefined,
  known: Readonly<Record<string, T>>,
  numberOf: (one: T) => number,
): Record<string, T> | null {
  const news = Object.entries(seen ?? {}).filter(([key, one]) => {
    const before = known[key];
    return before === undefined || numberOf(one) > numberOf(before);
  });
  return news.length === 0 ? null : Object.fromEntries(news);
}

function latestStarts(heads: Memory['auditHeads']): Memory['auditHeads'] {
  const entries = Object.entries(heads);
  if (entries.length <= keptStarts) return heads;
  return Object.fromEntries(entries.sort(([a], [b]) => Number(a) - Number(b)).slice(-keptStarts));
}
