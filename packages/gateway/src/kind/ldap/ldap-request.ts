import { boolean, element, integer, octets, sequence, set, tags } from './ber.ts';

export interface LdapControl {
  readonly oid: string;
  readonly isCritical: boolean;
  readonly value: Buffer | null;
}
/** One change of a Modify. All changes of one Modify happen, or none (RFC 4511 section 4.6). */
export interface LdapChange {
  readonly operation: 'add' | 'delete' | 'replace';
  readonly attribute: string;
  readonly values: readonly (string | Buffer)[];
}
/** Only equality, presence, and, or, not: parameters, so that no text of a record is ever parsed as a filter. */
export type LdapFilter =
  | { readonly kind: 'equals'; readonly attribute: string; readonly value: string }
  | { readonly kind: 'present'; readonly attribute: string }
  | { readonly kind: 'begins'; readonly attribute: string; readonly value: string }
  | { readonly kind: 'not'; readonly of: LdapFilter }
  | { readonly kind: 'and' | 'or'; readonly of: readonly LdapFilter[] };
export type LdapRequest =
  | {
      readonly kind: 'bind';
      readonly name: string;
      readonly password: string;
      readonly controls: readonly LdapControl[];
    }
  | { readonly kind: 'start-tls' }
  | {
      readonly kind: 'search';
      readonly base: string;
      readonly scope: 'base' | 'sub';
      readonly filter: LdapFilter;
      readonly attributes: readonly string[];
      /** Entries and whole seconds after which the server gives up. */
      readonly sizeLimit: number;
      readonly timeLimit: number;
      readonly controls?: readonly LdapControl[];
    }
  | {
      readonly kind: 'modify';
      readonly entry: string;
      readonly changes: readonly LdapChange[];
      readonly controls: readonly LdapControl[];
    }
  | { readonly kind: 'unbind' };

/** RFC 4511 section 4.14.1. */
const startTlsOid = '1.3.6.1.4.1.1466.20037';
/** RFC 4528. */
export const assertionOid = '1.3.6.1.1.12';
const operations = { add: 0, delete: 1, replace: 2 } as const;
const scopes = { base: 0, sub: 2 } as const;
const neverDereference = 0;

function writeFilter(filter: LdapFilter): Buffer {
  switch (filter.kind) {
    case 'equals':
      return element(0xa3, octets(filter.attribute), octets(filter.value));
    case 'present':
      return octets(filter.attribute, 0x87);
    case 'begins':
      return element(0xa4, octets(filter.attribute), sequence(octets(filter.value, 0x80)));
    case 'not':
      return element(0xa2, writeFilter(filter.of));
    case 'and':
      return element(0xa0, ...filter.of.map(writeFilter));
    case 'or':
      return element(0xa1, ...filter.of.map(writeFilter));
    default:
      return filter satisfies never;
  }
}

/** The change is made only while `filter` holds for the entry, judged in the same transaction. */
export function onlyWhile(filter: LdapFilter): LdapControl {
  return { oid: assertionOid, isCritical: true, value: writeFilter(filter) };
}

function writeControls(controls: readonly LdapControl[]): readonly Buffer[] {
  if (controls.length === 0) return [];
  const each = controls.map(({ oid, isCritical, value }) =>
    sequence(octets(oid), boolean(isCritical), ...(value === null ? [] : [octets(value)])),
  );
  return [element(0xa0, ...each)];
}

function writeChange({ operation, attribute, values }: LdapChange): Buffer {
  const all = values.map((value) => octets(value));
  return sequence(integer(operations[operation], tags.enumerated), sequence(octets(attribute), set(...all)));
}

function writeOperation(request: LdapRequest): readonly Buffer[] {
  switch (request.kind) {
    case 'bind':
      return [
        element(0x60, integer(3), octets(request.name), octets(request.password, 0x80)),
        ...writeControls(request.controls),
      ];
    case 'start-tls':
      return [element(0x77, octets(startTlsOid, 0x80))];
    case 'search':
      return [
        element(
          0x63,
          octets(request.base),
          integer(scopes[request.scope], tags.enumerated),
          integer(neverDereference, tags.enumerated),
          integer(request.sizeLimit),
          integer(request.timeLimit),
          boolean(false),
          writeFilter(request.filter),
          sequence(...request.attributes.map((name) => octets(name))),
        ),
        ...writeControls(request.controls ?? []),
      ];
    case 'modify':
      return [
        element(0x66, octets(request.entry), sequence(...request.changes.map(writeChange))),
        ...writeControls(request.controls),
      ];
    case 'unbind':
      return [element(0x42)];
    default:
      return request satisfies never;
  }
}

/** One message as it goes over the wire; `id` is 1 to 2^31 - 1. */
export function writeRequest(id: number, request: LdapRequest): Buffer {
  return sequence(integer(id), ...writeOperation(request));
}
