import type { Decision } from '@sallyport/protocol';

/**
 * I3, kept up decision by decision: between two picks of one member, both of them well all the while, every other well
 * member has exactly one pick.
 */
export class Turns {
  /** `seen.get(i)?.get(j)`: picks of j since the last pick of i; absent until both were well together. */
  readonly #seen = new Map<number, Map<number, number>>();
  /** Who was well at the last decision, in order of seq: mostly the same as at this one. */
  #well: readonly number[] = [];

  /** Notes a decision; answers what it broke, or null. */
  note(decision: Decision): string | null {
    let picked = -1;
    let at = 0;
    let same = true;
    for (const candidate of decision.candidates) {
      if (candidate.class !== 0) continue;
      if (this.#well[at] !== candidate.seq) same = false;
      at += 1;
      if (candidate.instance === decision.pick) picked = candidate.seq;
    }
    if (!same || at !== this.#well.length) this.#forgetAllBut(decision);
    if (picked === -1) return null;
    let broken: string | null = null;
    const before = this.#seen.get(picked) ?? new Map<number, number>();
    for (const [j, count] of before) {
      if (count !== 1) broken = `between two turns of ${picked} member ${j} had ${count}`;
    }
    for (const [i, counts] of this.#seen) {
      const count = counts.get(picked);
      if (i !== picked && count !== undefined) counts.set(picked, count + 1);
    }
    for (const j of this.#well) if (j !== picked) before.set(j, 0);
    this.#seen.set(picked, before);
    return broken;
  }

  /** Whoever is not well now starts anew when it is. */
  #forgetAllBut({ candidates }: Decision): void {
    this.#well = candidates.filter((candidate) => candidate.class === 0).map((candidate) => candidate.seq);
    const well = new Set(this.#well);
    for (const [i, counts] of this.#seen) {
      if (!well.has(i)) this.#seen.delete(i);
      else for (const j of counts.keys()) if (!well.has(j)) counts.delete(j);
    }
  }
}
