interface Due {
  readonly atMs: number;
  /** What a killed router takes with it: only the life it was asked in may see it. */
  readonly life: number;
  readonly run: () => void;
}

const never = Number.POSITIVE_INFINITY;

/** What the router waits for, in simulated time. */
export class DueQueue {
  #due: Due[] = [];
  /** When the first of them is due. */
  #firstAtMs = never;
  #life = 1;

  /** Runs what this life of the router asked for. */
  add(atMs: number, run: () => void): void {
    this.#due.push({ atMs, life: this.#life, run });
    this.#firstAtMs = Math.min(this.#firstAtMs, atMs);
  }

  hasDue(nowMs: number): boolean {
    return nowMs >= this.#firstAtMs;
  }

  /** Everything that is due, in the order in which it came. */
  run(nowMs: number): void {
    const now = this.#due.filter((due) => due.atMs <= nowMs);
    this.#due = this.#due.filter((due) => due.atMs > nowMs);
    this.#firstAtMs = this.#due.reduce((first, due) => Math.min(first, due.atMs), never);
    for (const due of now.sort((a, b) => a.atMs - b.atMs)) if (due.life === this.#life) due.run();
  }

  /** Another life of the router begins. */
  nextLife(): void {
    this.#life += 1;
  }

  clear(): void {
    this.#due = [];
  }
}
