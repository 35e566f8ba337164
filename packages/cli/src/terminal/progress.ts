import type { Clock } from '../time/clock.ts';
import type { Terminal } from './terminal.ts';

const frames = ['|', '/', '-', '\\'];

/**
 * Runs `work`; if it takes more than two seconds and somebody watches, a line on standard error says what is going on.
 * The line is wiped afterwards.
 *
 * @param what - asked anew for each drawing when it is a function: how far it is.
 */
export async function withProgress<T>(
  deps: { readonly terminal: Terminal; readonly clock: Clock },
  what: string | (() => string),
  work: () => Promise<T>,
): Promise<T> {
  const { terminal, clock } = deps;
  if (!terminal.animated) return work();
  let shown = false;
  let frame = 0;
  let cancel: () => void;
  const draw = () => {
    shown = true;
    terminal.err(`\r${frames[frame++ % frames.length]} ${typeof what === 'string' ? what : what()} …\u001b[K`);
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
