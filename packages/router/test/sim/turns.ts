import type { Decision } from '@sallyport/protocol';

/**
 * I3, kept up decision by decision: between two picks of one member, both of them well all the while, every other well
 * member has exactly one pick.
 */
export class Turns {
  /** `seen.get(i)?.get(j)`: picks of j since the last pick of i; absent until both were well together. */
  readonly #seen = new Map<number, Map<number, number>>();

  /** Notes a decision; answers what it broke, or null. */
  note(decision: Decision): string | null {
    const well = new Set<number>();
    let picked = -1;
    for (const candidate of decision.candidates) {
      if (candidate.class === 0) well.add(candidate.seq);
      if (candidate.instance === decision.pick) picked = candidate.seq;
    }
    for (const [i, counts] of this.#seen) {
      if (!well.has(i)) this.#seen.delete(i);
      else for (const j of counts.keys()) if (!well.has(j)) counts.delete(j);
    }
    if (!well.has(picked)) return null;
    let broken: string | null = null;
    const before = this.#seen.get(picked);
    for (const [j, count] of before ?? []) {
      if (count !== 1) broken = `between two turns of ${picked} member ${j} had ${count}`;
    }
    for (const [i, counts] of this.#seen) {
      const count = counts.get(picked);
      if (i !== picked && count !== undefined) counts.set(picked, count + 1);
    }
    this.#seen.set(picked, new Map([...well].filter((j) => j !== picked).map((j) => [j, 0])));
    return broken;
  }
}
