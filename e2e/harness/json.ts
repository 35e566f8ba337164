/** A member of something that was JSON, by a path of names and indexes; throws naming the path when it is not there. */
export function member(value: unknown, ...path: readonly (string | number)[]): unknown {
  let at = value;
  for (const step of path) {
    if (typeof at !== 'object' || at === null || !(step in at)) {
      throw new Error(`${path.join('.')} is not in ${JSON.stringify(value)?.slice(0, 2_000)}`);
    }
    at = (at as Readonly<Record<string | number, unknown>>)[step];
  }
  return at;
}

/** The array that stands there. */
export function members(value: unknown, ...path: readonly (string | number)[]): readonly unknown[] {
  const found = member(value, ...path);
  if (!Array.isArray(found)) throw new Error(`${path.join('.')} is no array`);
  return found;
}
