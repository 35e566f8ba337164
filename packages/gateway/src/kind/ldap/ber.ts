/**
 * The part of BER that LDAP uses (RFC 4511 section 5.1): definite lengths, tags of one byte. What comes in is taken as
 * written by an enemy: every limit below is checked before anything is kept, and a part must fill its whole exactly.
 */
export interface BerElement {
  readonly tag: number;
  readonly content: Buffer;
  /** The elements inside; empty unless the tag says that it has any. */
  readonly parts: readonly BerElement[];
}
export type BerRead =
  /** `needs`: bytes without which it is of no use to ask again. */
  | { readonly kind: 'incomplete'; readonly needs: number }
  | { readonly kind: 'element'; readonly element: BerElement; readonly length: number }
  | { readonly kind: 'broken'; readonly why: string };

/** An LDAP message of ours asks for one entry and a few attributes; a longer answer is none. */
const maxElementBytes = 262_144;
const maxDepth = 12;
const maxParts = 4_096;
const constructedBit = 0x20;
const longTag = 0x1f;

interface Header {
  readonly tag: number;
  readonly headerBytes: number;
  readonly contentBytes: number;
}

function readHeader(bytes: Buffer): Header | 'incomplete' | 'broken' {
  const [tag, first] = bytes;
  if (tag === undefined) return 'incomplete';
  if ((tag & longTag) === longTag) return 'broken';
  if (first === undefined) return 'incomplete';
  if (first < 0x80) return { tag, headerBytes: 2, contentBytes: first };
  const lengthBytes = first & 0x7f;
  if (lengthBytes === 0 || lengthBytes > 4) return 'broken';
  if (bytes.byteLength < 2 + lengthBytes) return 'incomplete';
  return { tag, headerBytes: 2 + lengthBytes, contentBytes: bytes.readUIntBE(2, lengthBytes) };
}

/** Elements that fill `bytes` exactly, or null. `budget.parts` counts down over the whole message. */
function readParts(bytes: Buffer, depth: number, budget: { parts: number }): readonly BerElement[] | null {
  if (depth > maxDepth) return null;
  const parts: BerElement[] = [];
  for (let at = 0; at < bytes.byteLength; ) {
    budget.parts -= 1;
    const header = readHeader(bytes.subarray(at));
    if (budget.parts < 0 || header === 'incomplete' || header === 'broken') return null;
    const end = at + header.headerBytes + header.contentBytes;
    if (end > bytes.byteLength) return null;
    const element = elementOf(header.tag, bytes.subarray(at + header.headerBytes, end), depth, budget);
    if (element === null) return null;
    parts.push(element);
    at = end;
  }
  return parts;
}

function elementOf(tag: number, content: Buffer, depth: number, budget: { parts: number }): BerElement | null {
  if ((tag & constructedBit) === 0) return { tag, content, parts: [] };
  const parts = readParts(content, depth + 1, budget);
  return parts === null ? null : { tag, content, parts };
}

/** Reads the element that `bytes` begin with. Never throws, whatever the bytes. */
export function readElement(bytes: Buffer): BerRead {
  const header = readHeader(bytes);
  if (header === 'incomplete') return { kind: 'incomplete', needs: bytes.byteLength + 1 };
  if (header === 'broken') return { kind: 'broken', why: 'not BER as LDAP uses it' };
  const length = header.headerBytes + header.contentBytes;
  if (length > maxElementBytes) return { kind: 'broken', why: `a message of ${length} bytes` };
  if (bytes.byteLength < length) return { kind: 'incomplete', needs: length };
  const element = elementOf(header.tag, bytes.subarray(header.headerBytes, length), 0, { parts: maxParts });
  return element === null
    ? { kind: 'broken', why: 'parts that do not fill their whole' }
    : { kind: 'element', element, length };
}

/** A non-negative INTEGER or ENUMERATED of at most 31 bits, or null. */
export function numberOf(element: BerElement | undefined): number | null {
  const content = element?.content;
  if (content === undefined || content.byteLength < 1 || content.byteLength > 4) return null;
  const value = content.readIntBE(0, content.byteLength);
  return value < 0 ? null : value;
}

/** One element around `contents`, with the shortest length there is. */
export function element(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const size = content.byteLength;
  if (size < 0x80) return Buffer.concat([Buffer.from([tag, size]), content]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(size);
  const significant = length.subarray(length.findIndex((byte) => byte !== 0));
  return Buffer.concat([Buffer.from([tag, 0x80 | significant.byteLength]), significant, content]);
}

export const tags = {
  boolean: 0x01,
  integer: 0x02,
  octets: 0x04,
  enumerated: 0x0a,
  sequence: 0x30,
  set: 0x31,
} as const;

/** INTEGER or ENUMERATED, 0 to 2^31 - 1. */
export function integer(value: number, tag: number = tags.integer): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt32BE(value, 1);
  // A leading zero stays where the next bit would read as a sign.
  const from = bytes.findIndex((byte, at) => at === 4 || byte !== 0 || (bytes[at + 1] ?? 0) >= 0x80);
  return element(tag, bytes.subarray(from));
}

export function octets(value: string | Buffer, tag: number = tags.octets): Buffer {
  return element(tag, typeof value === 'string' ? Buffer.from(value, 'utf8') : value);
}

export const boolean = (value: boolean): Buffer => element(tags.boolean, Buffer.from([value ? 0xff : 0]));
export const sequence = (...parts: readonly Buffer[]): Buffer => element(tags.sequence, ...parts);
export const set = (...parts: readonly Buffer[]): Buffer => element(tags.set, ...parts);
