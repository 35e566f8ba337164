import type { LegStatus } from '@sallyport/protocol';
import type { MatchBytes, MatchEnd, RelayTotals } from './relay-messages.ts';

/** Counts what passes through one relay process, from its start on. */
export class RelayTally {
  droppedWaiting = 0;
  readonly #told: Partial<Record<LegStatus, number>> = {};
  readonly #ended: Partial<Record<MatchEnd, number>> = {};
  #bytesUp = 0;
  #bytesDown = 0;

  told(status: LegStatus): void {
    this.#told[status] = (this.#told[status] ?? 0) + 1;
  }

  ended(why: MatchEnd, bytes: MatchBytes): void {
    this.#ended[why] = (this.#ended[why] ?? 0) + 1;
    this.#bytesUp += bytes.bytesUp;
    this.#bytesDown += bytes.bytesDown;
  }

  /** @param running - bytes so far of the matches that have not ended. */
  read(
    running: readonly MatchBytes[],
  ): Pick<RelayTotals, 'told' | 'ended' | 'bytesUp' | 'bytesDown' | 'droppedWaiting'> {
    return {
      told: { ...this.#told },
      ended: { ...this.#ended },
      bytesUp: running.reduce((sum, each) => sum + each.bytesUp, this.#bytesUp),
      bytesDown: running.reduce((sum, each) => sum + each.bytesDown, this.#bytesDown),
      droppedWaiting: this.droppedWaiting,
    };
  }
}
