import type { Clock } from '../time/clock.ts';
import type { Terminal } from './terminal.ts';

const frames = ['|', '/', '-', '\\'];

/**
 * Runs `work`; if it takes more than two seconds and somebody watches, a line on standard error says what is going on.
 * The line is wiped afterwards.
 */
export async function withProgress<T>(
  deps: { readonly terminal: Terminal; readonly clock: Clock },
  what: string,
  work: () => Promise<T>,
): Promise<T> {
  const { terminal, clock } = deps;
  if (!terminal.animated) return work();
  let shown = false;
  let frame = 0;
  let cancel: () => void;
  const draw = () => {
    shown = true;
    terminal.err(`\r${frames[frame++ % frames.length]} ${what} …`);
    cancel = clock.after(120, draw);
  };
  cancel = clock.after(2_000, draw);
  try {
    return await work();
  } finally {
    cancel();
    if (shown) terminal.err('\r\u001b[K');
  }
}
