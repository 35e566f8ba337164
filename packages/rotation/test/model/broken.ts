/** An invariant that does not hold, by its number. */
export class Broken extends Error {
  override readonly name = 'Broken';
}
