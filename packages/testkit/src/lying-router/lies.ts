import { type Item, type ItemUid, type KeyWrap, type Mirror, PamError, type PartEnvelope } from '@sallyport/protocol';
import {
  createLog,
  foldLog,
  type LogEntryBody,
  newSymmetricKey,
  type PublicJwk,
  sealPart,
  signEntry,
  type SigningKey,
  wrapKey,
} from '@sallyport/seal';

/**
 * What a lying router does with what it stores. Each function takes what an honest router would serve and gives what
 * the liar serves instead; none has a private key of a person, device or pool, only keys of its own.
 */
type PartName = 'facts' | 'secrets' | 'state';

function partOf(item: Item, part: PartName): PartEnvelope {
  const found = item.parts[part];
  if (found === undefined) throw new PamError('PAM_NOT_FOUND', `The honest item has no ${part}.`);
  return found;
}

function withPart(item: Item, part: PartName, envelope: PartEnvelope): Item {
  return { ...item, parts: { ...item.parts, [part]: envelope } };
}

/** Serves the envelopes of two items for each other. */
export function swapEnvelopes(one: Item, other: Item, part: PartName): readonly [Item, Item] {
  return [withPart(one, part, partOf(other, part)), withPart(other, part, partOf(one, part))];
}

/** Serves an older revision under its own number. */
export function serveOlder(item: Item, older: PartEnvelope, part: PartName): Item {
  return withPart(item, part, older);
}

/** Serves an older revision under the number of the newer one. */
export function serveOlderAsNewer(item: Item, older: PartEnvelope, part: PartName): Item {
  return withPart(item, part, { ...older, rev: partOf(item, part).rev });
}

/** Serves an item under another UID. */
export function replayUnder(item: Item, uid: ItemUid): Item {
  return { ...item, uid };
}

/** Serves one part for another of the same item. */
export function serveAsPart(item: Item, from: PartName, as: PartName): Item {
  return withPart(item, as, partOf(item, from));
}

/** Edits the protected header of a compact JWE or JWS, leaving everything else. */
export function editHeader(compact: string, changes: Readonly<Record<string, unknown>>): string {
  return editSegment(compact, 0, changes);
}

/** Edits the payload of a compact JWS, leaving header and signature. */
export function editPayload(compact: string, changes: Readonly<Record<string, unknown>>): string {
  return editSegment(compact, 1, changes);
}

function editSegment(compact: string, at: number, changes: Readonly<Record<string, unknown>>): string {
  const segments = compact.split('.');
  const json = Buffer.from(segments[at] ?? '', 'base64url').toString('utf8');
  const value = { ...(JSON.parse(json) as Record<string, unknown>), ...changes };
  segments[at] = Buffer.from(JSON.stringify(value)).toString('base64url');
  return segments.join('.');
}

/** Writes the place that the reader wants into the header of an older or foreign envelope. */
export function relabel(item: Item, envelope: PartEnvelope, part: PartName): Item {
  const { rev, gen } = partOf(item, part);
  const place = { app: item.app, uid: item.uid, type: item.type, part, gen, rev };
  return withPart(item, part, { rev, gen, envelope: editHeader(envelope.envelope, place) });
}

/** Seals facts of its own: the router knows no key of the application, so it takes one of its own. */
export async function sealOwnPart(
  item: Item,
  part: 'facts' | 'secrets',
  body: Readonly<Record<string, string | number>>,
  key: Uint8Array,
  author: SigningKey,
  nowSeconds: number,
): Promise<Item> {
  const { rev, gen } = partOf(item, part);
  const place = { app: item.app, uid: item.uid, type: item.type, part, gen, rev };
  return withPart(item, part, { rev, gen, envelope: await sealPart(place, body, key, author, nowSeconds) });
}

/** A wrap of a key of the router's own for an honest recipient, signed by a key of its own. */
export async function wrapOwnKey(
  honest: KeyWrap,
  recipient: PublicJwk,
  own: SigningKey,
  nowSeconds: number,
): Promise<{ readonly wrap: KeyWrap; readonly key: Uint8Array }> {
  const key = newSymmetricKey();
  const { app, part, gen } = honest;
  return { key, wrap: { ...honest, wrap: await wrapKey({ app, part, gen }, key, recipient, own, nowSeconds) } };
}

/** Serves the wrap of one key as that of another. */
export function serveWrapAs(honest: KeyWrap, as: KeyWrap): KeyWrap {
  return { ...as, wrap: honest.wrap };
}

/** Points an item's plain links elsewhere. */
export function rewireLinks(
  item: Item,
  links: Partial<Pick<Mirror, 'gateway' | 'configuration' | 'credentials'>>,
): Item {
  return { ...item, mirror: { ...item.mirror, ...links } };
}

/** Switches everything on in the plain flags. */
export function flipFlags(item: Item): Item {
  const permissions = { connections: 'on', tunneling: 'on', rotation: 'on', recording: 'on' } as const;
  return { ...item, mirror: { ...item.mirror, permissions } };
}

/** Replaces a member of entry `n` (a public key, say) and leaves its signature. */
export function substituteInLog(
  entries: readonly string[],
  n: number,
  changes: Readonly<Record<string, unknown>>,
): readonly string[] {
  return entries.map((entry, at) => (at === n ? editPayload(entry, changes) : entry));
}

/** Appends an entry signed by a key of the router's own: a forged person, device, gateway … */
export async function forgeEntry(
  anchor: string,
  entries: readonly string[],
  body: LogEntryBody,
  own: SigningKey,
  nowSeconds: number,
): Promise<readonly string[]> {
  const log = await foldLog(createLog(anchor), entries);
  return [...entries, await signEntry(log, body, own, nowSeconds)];
}

/** Another history from entry `n` on; the tail was signed by honest devices that were shown different heads. */
export function forkLog(entries: readonly string[], n: number, tail: readonly string[]): readonly string[] {
  return [...entries.slice(0, n), ...tail];
}

export function shortenLog(entries: readonly string[], length: number): readonly string[] {
  return entries.slice(0, length);
}

export function dropEntry(entries: readonly string[], n: number): readonly string[] {
  return entries.filter((_, at) => at !== n);
}

export function reorderLog(entries: readonly string[], n: number): readonly string[] {
  const before = entries.slice(0, n);
  const [first, second] = [entries[n], entries[n + 1]];
  if (first === undefined || second === undefined) throw new PamError('PAM_NOT_FOUND', `No entries ${n} and ${n + 1}.`);
  return [...before, second, first, ...entries.slice(n + 2)];
}
