import type { Complexity } from '@sallyport/protocol';
import type { SecretLimits } from '../kind/target-kind.ts';
import { Secret } from '../secret/secret.ts';

/** Cryptographic bytes: `node:crypto` in production, never seeded; a seeded one in tests. */
export type SecretBytes = (length: number) => Uint8Array;

const classes = {
  upper: 'ABCDEFGHIJKLMNOPQRSTUVWXYZ',
  lower: 'abcdefghijklmnopqrstuvwxyz',
  digits: '0123456789',
} as const;

export type GenerateAnswer =
  | { readonly ok: true; readonly password: Secret }
  /** `length`: the target takes no password so long, or reads less of it; `characters`: a class has none left. */
  | { readonly ok: false; readonly why: 'length' | 'characters' };

/**
 * A password of exactly this complexity that the target can take.
 *
 * Every password that keeps the rules is as likely as any other: characters are drawn from all that may be used, and the
 * whole is drawn anew until each class has its least number. Where that would take too long (least numbers that nearly
 * fill the length) the classes are drawn first, and the places shuffled.
 *
 * Classes with a least number of 0 may occur, symbols with 0 do not.
 */
export function generatePassword(complexity: Complexity, limits: SecretLimits, bytes: SecretBytes): GenerateAnswer {
  const { length } = complexity;
  const readsAll = limits.significant === null || length <= limits.significant;
  if (length < limits.minLength || length > limits.maxLength || !readsAll) return { ok: false, why: 'length' };
  const take = drawing(bytes);
  const sets = setsOf(complexity, limits.forbidden);
  if (sets.some((set) => set.least > 0 && set.characters === '')) return { ok: false, why: 'characters' };
  const all = sets.map((set) => set.characters).join('');
  if (all === '') return { ok: false, why: 'characters' };
  for (let tries = 0; tries < 64; tries += 1) {
    const drawn = Array.from({ length }, () => pick(all, take)).join('');
    if (sets.every((set) => countIn(drawn, set.characters) >= set.least)) return answer(drawn);
  }
  const least = sets.flatMap((set) => Array.from({ length: set.least }, () => pick(set.characters, take)));
  const rest = Array.from({ length: length - least.length }, () => pick(all, take));
  return answer(shuffle([...least, ...rest], take).join(''));
}

function answer(text: string): GenerateAnswer {
  return { ok: true, password: new Secret(text) };
}

function setsOf(complexity: Complexity, forbidden: string): { readonly least: number; readonly characters: string }[] {
  const { upper, lower, digits, symbols, specials } = complexity;
  const allowed = (characters: string): string =>
    [...new Set(characters)].filter((each) => !forbidden.includes(each)).join('');
  return [
    { least: upper, characters: allowed(classes.upper) },
    { least: lower, characters: allowed(classes.lower) },
    { least: digits, characters: allowed(classes.digits) },
    { least: symbols, characters: symbols === 0 ? '' : allowed(specials) },
  ];
}

type Draw = (below: number) => number;

/** Numbers below `below` (at most 256), each as likely: bytes past the last whole multiple are thrown away. */
function drawing(bytes: SecretBytes): Draw {
  let pool = new Uint8Array(0);
  let at = 0;
  return (below) => {
    const end = 256 - (256 % below);
    for (;;) {
      if (at >= pool.length) [pool, at] = [Uint8Array.from(bytes(128)), 0];
      const byte = pool[at] ?? 0;
      at += 1;
      if (byte < end) return byte % below;
    }
  };
}

function pick(characters: string, take: Draw): string {
  return characters.charAt(take(characters.length));
}

function countIn(text: string, characters: string): number {
  return text.split('').filter((each) => characters.includes(each)).length;
}

/** Fisher and Yates. */
function shuffle(items: readonly string[], take: Draw): string[] {
  const shuffled = [...items];
  for (let last = shuffled.length - 1; last > 0; last -= 1) {
    const other = take(last + 1);
    [shuffled[last], shuffled[other]] = [shuffled[other] ?? '', shuffled[last] ?? ''];
  }
  return shuffled;
}
