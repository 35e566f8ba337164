import { type BerElement, numberOf, tags } from './ber.ts';

/** What a server says at the end of an operation (RFC 4511 section 4.1.9). A referral is a code like any other. */
export interface LdapResult {
  readonly code: number;
  /** The server's own words; not ours to show before they are cleaned (`showText`). */
  readonly text: string;
  /** Values of the controls that came with it, by OID. */
  readonly controls: ReadonlyMap<string, Buffer>;
}
/** Attribute names in lower case; values as they came. */
export interface LdapEntry {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, readonly Buffer[]>;
}
export type LdapAnswer =
  | { readonly kind: 'result'; readonly id: number; readonly of: LdapOperation; readonly result: LdapResult }
  | { readonly kind: 'entry'; readonly id: number; readonly entry: LdapEntry }
  /** A search reference or an intermediate response: read past, never followed. */
  | { readonly kind: 'passed-over'; readonly id: number };
export type LdapOperation = 'bind' | 'search' | 'modify' | 'start-tls';

const resultTags: ReadonlyMap<number, LdapOperation> = new Map([
  [0x61, 'bind'],
  [0x65, 'search'],
  [0x67, 'modify'],
  [0x78, 'start-tls'],
]);
const entryTag = 0x64;
const passedOver = new Set([0x73, 0x79]);
const controlsTag = 0xa0;

export const resultCodes = {
  success: 0,
  referral: 10,
  unavailableExtension: 12,
  noSuchAttribute: 16,
  undefinedAttribute: 17,
  constraintViolation: 19,
  valueExists: 20,
  invalidSyntax: 21,
  noSuchObject: 32,
  invalidName: 34,
  invalidCredentials: 49,
  insufficientAccess: 50,
  unwilling: 53,
  classViolation: 65,
  assertionFailed: 122,
  /** OpenLDAP, draft-zeilenga-ldap-noop: it would have been done. */
  noOperation: 16_654,
} as const;

const textOf = (part: BerElement | undefined): string | null =>
  part?.tag === tags.octets ? part.content.toString('utf8') : null;

function readControls(part: BerElement | undefined): ReadonlyMap<string, Buffer> | null {
  const controls = new Map<string, Buffer>();
  if (part === undefined) return controls;
  if (part.tag !== controlsTag) return null;
  for (const control of part.parts) {
    const oid = textOf(control.parts[0]);
    if (oid === null) return null;
    const value = control.parts.slice(1).find(({ tag }) => tag === tags.octets);
    controls.set(oid, value?.content ?? Buffer.alloc(0));
  }
  return controls;
}

function readResult(operation: BerElement, controls: BerElement | undefined): LdapResult | null {
  const [status, matched, diagnostic] = operation.parts;
  const code = status?.tag === tags.enumerated ? numberOf(status) : null;
  const text = textOf(diagnostic);
  const read = readControls(controls);
  if (code === null || textOf(matched) === null || text === null || read === null) return null;
  return { code, text, controls: read };
}

function readEntry(operation: BerElement): LdapEntry | null {
  const [name, list] = operation.parts;
  const text = textOf(name);
  if (text === null || list?.tag !== tags.sequence) return null;
  const attributes = new Map<string, readonly Buffer[]>();
  for (const attribute of list.parts) {
    const [type, values] = attribute.parts;
    const key = textOf(type);
    if (attribute.tag !== tags.sequence || key === null || values?.tag !== tags.set) return null;
    attributes.set(
      key.toLowerCase(),
      values.parts.map(({ content }) => content),
    );
  }
  return { name: text, attributes };
}

/** Reads one message of a server, or null when it is not one that a server may send. */
export function readAnswer(message: BerElement): LdapAnswer | null {
  const [first, operation, controls] = message.parts;
  const id = first?.tag === tags.integer ? numberOf(first) : null;
  if (message.tag !== tags.sequence || id === null || operation === undefined) return null;
  if (passedOver.has(operation.tag)) return { kind: 'passed-over', id };
  if (operation.tag === entryTag) {
    const entry = readEntry(operation);
    return entry === null ? null : { kind: 'entry', id, entry };
  }
  const of = resultTags.get(operation.tag);
  const result = of === undefined ? null : readResult(operation, controls);
  return of === undefined || result === null ? null : { kind: 'result', id, of, result };
}

/** The first value of an attribute, or null. */
export function valueOf(entry: LdapEntry, attribute: string): string | null {
  return valuesOf(entry, attribute)[0] ?? null;
}
export function valuesOf(entry: LdapEntry, attribute: string): readonly string[] {
  return bytesOf(entry, attribute).map((value) => value.toString('utf8'));
}
/** Values that are no text. */
export function bytesOf(entry: LdapEntry, attribute: string): readonly Buffer[] {
  return entry.attributes.get(attribute.toLowerCase()) ?? [];
}
