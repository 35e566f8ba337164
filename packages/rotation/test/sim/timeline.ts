/** Numbers that follow from a seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1) ^ 0x5bf03635;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** What happens when; of two things at one time the one that was planned first. */
export class Timeline {
  nowMs = 0;
  readonly #due: { readonly atMs: number; readonly run: () => void }[] = [];

  after(ms: number, run: () => void): void {
    const atMs = this.nowMs + Math.max(0, Math.ceil(ms));
    let at = this.#due.length;
    while (at > 0 && (this.#due[at - 1]?.atMs ?? 0) <= atMs) at -= 1;
    this.#due.splice(at, 0, { atMs, run });
  }

  /** Does the next thing, unless it is after `untilMs`. */
  step(untilMs: number): boolean {
    const next = this.#due.at(-1);
    if (next === undefined || next.atMs > untilMs) return false;
    this.#due.pop();
    this.nowMs = next.atMs;
    next.run();
    return true;
  }
}
