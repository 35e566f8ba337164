import type { StreamId } from '@sallyport/protocol';
import type { Cli } from '../cli.ts';

/** Says once when connections wait for another way, and once when the last of them goes on or has ended. */
export interface LossNotes {
  note(stream: StreamId, what: 'detached' | 'attached' | 'ended'): void;
}

export function createLossNotes(cli: Pick<Cli, 'terminal'>, detachedMs: number): LossNotes {
  const waiting = new Set<StreamId>();
  return {
    note: (stream, what) => {
      const before = waiting.size;
      if (what === 'detached') waiting.add(stream);
      else waiting.delete(stream);
      if (before === 0 && waiting.size > 0) {
        const seconds = Math.round(detachedMs / 1_000);
        cli.terminal.err(
          `The way to the gateway was lost. Connections are kept for ${seconds} s while pam looks for another.\n`,
        );
      }
      if (before > 0 && waiting.size === 0 && what === 'attached')
        cli.terminal.err('The way is back; connections go on.\n');
    },
  };
}
