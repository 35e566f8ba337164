import type { LdapChange, LdapFilter } from './ldap-request.ts';

/**
 * The send number that is kept beside a password, as one value of a text attribute of the account: `sallyport:send=N`.
 * Other values of the attribute are somebody else's and stay.
 */
export interface SendMark {
  readonly attribute: string;
  /** Highest number found; 0: none. */
  readonly number: number;
  /** Values of ours, as they were read. */
  readonly own: readonly string[];
  readonly hasOthers: boolean;
}

const prefix = 'sallyport:send=';
const pattern = /^sallyport:send=(\d{1,16})$/;
const textOf = (send: number): string => `${prefix}${send}`;

export function readMark(attribute: string, values: readonly string[]): SendMark {
  const own = values.filter((value) => pattern.test(value));
  const numbers = own.map((value) => Number(pattern.exec(value)?.[1])).filter(Number.isSafeInteger);
  return { attribute, number: Math.max(0, ...numbers), own, hasOthers: own.length < values.length };
}

/** Takes the mark from what was read to `send`; as part of a Modify it fails when another writer moved it meanwhile. */
export function moveMark(mark: SendMark, send: number): readonly LdapChange[] {
  const { attribute, own } = mark;
  const removed: readonly LdapChange[] = own.length === 0 ? [] : [{ operation: 'delete', attribute, values: own }];
  return [...removed, { operation: 'add', attribute, values: [textOf(send)] }];
}

/** True of an entry whose mark is still the one that was read. */
export function markStands({ attribute, own }: SendMark): LdapFilter {
  const ours = own.map((value): LdapFilter => ({ kind: 'equals', attribute, value }));
  return ours.length === 0
    ? { kind: 'not', of: { kind: 'begins', attribute, value: prefix } }
    : { kind: 'and', of: ours };
}
