import { createHash } from 'node:crypto';

/** SHA-256 in hexadecimal: what Redis keeps of a password, and takes instead of one (`#HASH`). */
export const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Enough to tell the few passwords of one user, and the users of one server, apart. */
const shownDigits = 24;
const markPattern = /^sallyport:([0-9a-f]{24}):(\d{1,15}):([0-9a-f]{24})$/;

/** A password that a rotation has put beside others: with which send, and the beginning of its hash. */
export interface AclMark {
  /** The user that stands for it. */
  readonly name: string;
  readonly send: number;
  readonly hashStart: string;
}

/**
 * Name of the user that says which send has set a password. Passwords of a Redis user carry no comment, so each gets a user
 * beside it: switched off, without a password, a command, a key or a channel. It is made and removed in the same transaction
 * as the password, is kept where users are kept, and cannot be evicted as a key could.
 *
 * Names, not contents, so that two writers never undo each other's: to make one and to remove one is all that is done.
 */
export function markName(login: string, send: number, hash: string): string {
  return `sallyport:${hashOf(login).slice(0, shownDigits)}:${send}:${hash.slice(0, shownDigits)}`;
}

export const isMark = (login: string): boolean => markPattern.test(login);

/** The marks of one account among the users of a server. */
export function marksOf(login: string, users: readonly string[]): readonly AclMark[] {
  const own = hashOf(login).slice(0, shownDigits);
  return users.flatMap((name): AclMark[] => {
    const [, account, send, hashStart] = markPattern.exec(name) ?? [];
    return account === own && hashStart !== undefined ? [{ name, send: Number(send), hashStart }] : [];
  });
}

/** What goes when `keep` is what remains. */
export interface Retirement {
  /** Hashes of passwords to remove. */
  readonly hashes: readonly string[];
  /** Marks of lower sends. */
  readonly marks: readonly string[];
}

const isOf =
  (hash: string) =>
  ({ hashStart }: AclMark): boolean =>
    hash.startsWith(hashStart);

/** Others that a rotation set open the user, and whether they are older than `keep` no mark tells. */
export function isUntold(keep: string, hashes: readonly string[], marks: readonly AclMark[]): boolean {
  return !marks.some(isOf(keep)) && hashes.some((hash) => hash !== keep && marks.some(isOf(hash)));
}

/**
 * Only what was marked with a lower send than `keep`; without a mark of `keep`, nothing. A password has the highest of its sends.
 *
 * @param hashes - of the passwords that open the user now.
 */
export function retirement(keep: string, hashes: readonly string[], marks: readonly AclMark[]): Retirement {
  const sendOf = (hash: string): number => Math.max(-1, ...marks.filter(isOf(hash)).map(({ send }) => send));
  const kept = sendOf(keep);
  const gone = hashes.filter((hash) => hash !== keep && sendOf(hash) >= 0 && sendOf(hash) < kept);
  return { hashes: gone, marks: marks.filter(({ send }) => send < kept).map(({ name }) => name) };
}
