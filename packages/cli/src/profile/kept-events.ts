import { createHash } from 'node:crypto';
import { z } from 'zod';

/**
 * The last signed events of this device, one a line, so that a restored router gets back what it lost of its chain. Events that
 * were signed and not taken stay among them: who reads finds his way by the hashes.
 */
export const keptEventsBytes = { most: 4_194_304, afterTrim: 2_097_152 } as const;

/** What is left of the lines when they are over the limit: the newest, whole ones. */
export function trimmedLines(text: string): string {
  if (text.length <= keptEventsBytes.most) return text;
  const from = text.indexOf('\n', text.length - keptEventsBytes.afterTrim);
  return from < 0 ? '' : text.slice(from + 1);
}

type ChainEnd = { readonly seq: number; readonly hash: string };
const peekedSchema = z.object({ seq: z.int().min(1), prev: z.string().max(43) });

/**
 * Events after `named`, where the router says our chain ends, up to `known`, where it ended when it was last acknowledged.
 *
 * @param lines - compact events, in any order, with whatever else was signed; damaged ones are passed over.
 * @returns `gap` when one of them is not kept any more; `fork` when the chain does not come from the router's event.
 */
export function missingEvents(
  lines: readonly string[],
  named: ChainEnd,
  known: ChainEnd,
):
  | { readonly kind: 'events'; readonly events: readonly string[] }
  | { readonly kind: 'gap' }
  | { readonly kind: 'fork' } {
  const byHash = new Map(lines.map((line) => [hashOf(line), line]));
  const events: string[] = [];
  let at: ChainEnd = known;
  while (at.seq > named.seq) {
    const event = byHash.get(at.hash);
    const peeked = event === undefined ? null : peek(event);
    if (event === undefined || peeked?.seq !== at.seq) return { kind: 'gap' };
    events.push(event);
    at = { seq: at.seq - 1, hash: peeked.prev };
  }
  return at.seq === named.seq && at.hash === named.hash
    ? { kind: 'events', events: events.reverse() }
    : { kind: 'fork' };
}

const hashOf = (event: string): string => createHash('sha256').update(event).digest('base64url');

function peek(event: string): z.infer<typeof peekedSchema> | null {
  try {
    return peekedSchema.parse(JSON.parse(Buffer.from(event.split('.')[1] ?? '', 'base64url').toString('utf8')));
  } catch {
    return null; // a torn or damaged line is a gap
  }
}
