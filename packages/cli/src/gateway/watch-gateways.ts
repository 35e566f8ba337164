import { errorCatalog, PamError } from '@sallyport/protocol';
import type { Cli } from '../cli.ts';
import { openVaultSession, type VaultSession } from '../vault/open-session.ts';
import type { GatewayChange } from './gateway-changes.ts';
import type { NamedGateway } from './gateway-rows.ts';
import { listNamedGateways } from './list-named.ts';
import {
  isPassing,
  newWatchState,
  stepWatch,
  type WatchEvent,
  type WatchOptions,
  watchJson,
  watchText,
} from './watch-state.ts';

/** A list takes milliseconds; a busy router a second or two. */
const answerWithinMs = 5_000;

const clearScreen = '\u001b[2J';
/** To the first character, and lines that are too long are cut by the terminal, which knows how wide each one is. */
const begin = '\u001b[?7l\u001b[H';
const endOfLine = '\u001b[K\n';
/** Wipes what an earlier, longer drawing left, and lets lines wrap again. */
const end = '\u001b[J\u001b[?7h';

/** The first lines that fit: one that scrolls would move everything at the next drawing. */
export function fitScreen(text: string, rows: number): string {
  const lines = text.replace(/\n$/, '').split('\n');
  const most = rows - 1;
  const more = lines.length - most + 1;
  const fits = lines.length <= most ? lines : [...lines.slice(0, most - 1), `… ${more} more lines`];
  return `${begin}${fits.map((line) => line + endOfLine).join('')}${end}`;
}

/**
 * Watches the list until Ctrl-C (130) or until nobody reads it any more (0, by the broken pipe). On a terminal it is
 * drawn anew at each look; else the table is printed when something changed. With `--format json` each look is one line.
 *
 * @throws what no waiting cures, such as a sign-in that has ended.
 */
export async function watchGateways(cli: Cli, options: WatchOptions): Promise<number> {
  const { promise: interrupted, resolve } = Promise.withResolvers<number>();
  const onAbort = (): void => resolve(errorCatalog.PAM_INTERRUPTED.exit);
  if (cli.signal.aborted) onAbort();
  cli.signal.addEventListener('abort', onAbort, { once: true });
  const watching = watch(cli, options);
  try {
    return await Promise.race([watching.running, interrupted]);
  } finally {
    cli.signal.removeEventListener('abort', onAbort);
    watching.close();
  }
}

function watch(cli: Cli, options: WatchOptions): { readonly running: Promise<number>; close(): void } {
  const { clock, terminal } = cli;
  let state = newWatchState;
  let session: VaultSession | null = null;
  let isFirst = true;
  let looks = 0;
  let closed = false;

  /** A session that opens after its look was given up is of no use to the next one. */
  async function list(number: number): Promise<readonly NamedGateway[]> {
    if (session === null) {
      const opened = await openVaultSession(cli);
      if (closed || number !== looks) opened.close();
      else session = opened;
      return listNamedGateways(opened);
    }
    return listNamedGateways(session);
  }

  /** A router that says nothing at all is away long before a call to it ends by itself. */
  async function withinTime<T>(work: Promise<T>): Promise<T> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const cancel = clock.after(answerWithinMs, () =>
      reject(new PamError('PAM_TIMEOUT', `the router has said nothing for ${answerWithinMs / 1_000} s`)),
    );
    try {
      return await Promise.race([work, late]);
    } finally {
      cancel();
    }
  }

  async function look(): Promise<WatchEvent> {
    looks += 1;
    try {
      return { kind: 'seen', gateways: await withinTime(list(looks)) };
    } catch (reason) {
      if (!(reason instanceof PamError) || !isPassing(reason)) throw reason;
      // The next look begins with a new connection, and finds the router that is there then.
      looks += 1;
      session?.close();
      session = null;
      return { kind: 'failed', error: reason };
    }
  }

  function show(changes: readonly GatewayChange[], awayChanged: boolean): void {
    const nowMs = clock.nowMs();
    if (cli.format === 'json') return terminal.out(watchJson(state, changes, nowMs, options));
    const text = watchText(state, nowMs, options);
    const rows = terminal.screenRows();
    if (rows !== null) return terminal.out((isFirst ? clearScreen : '') + fitScreen(text, rows));
    if (isFirst || awayChanged || changes.length > 0) terminal.out(`${text}\n`);
  }

  async function run(): Promise<number> {
    for (;;) {
      const wasAway = state.away !== null;
      const step = stepWatch(state, await look(), clock.nowMs());
      if (closed) return errorCatalog.PAM_INTERRUPTED.exit;
      state = step.state;
      show(step.changes, wasAway !== (state.away !== null));
      isFirst = false;
      await clock.sleep(options.everyMs);
      if (closed) return errorCatalog.PAM_INTERRUPTED.exit;
    }
  }

  return {
    running: run(),
    close: () => {
      closed = true;
      session?.close();
    },
  };
}
