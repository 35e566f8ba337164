import { errorCatalog, type PamError } from '@sallyport/protocol';
import { ageText, isoTime, tableText, timeCell } from '../terminal/show.ts';
import { plain } from '../terminal/terminal.ts';
import { changesBetween, changeText, type GatewayChange, isUp } from './gateway-changes.ts';
import { gatewayJson, gatewayTable, type NamedGateway } from './gateway-rows.ts';

/** What a watched list shows. Times are wall times, Unix milliseconds. */
export interface WatchState {
  /** Null before the first answer. */
  readonly gateways: readonly NamedGateway[] | null;
  readonly seenAtMs: number;
  /** Why the router does not answer, and since when; null while it does. */
  readonly away: { readonly sinceMs: number; readonly error: PamError } | null;
  /** Of the last look that changed something, with its time. */
  readonly changes: readonly GatewayChange[];
  readonly changedAtMs: number;
}

export type WatchEvent =
  | { readonly kind: 'seen'; readonly gateways: readonly NamedGateway[] }
  | { readonly kind: 'failed'; readonly error: PamError };

export const newWatchState: WatchState = { gateways: null, seenAtMs: 0, away: null, changes: [], changedAtMs: 0 };

/** Whoever waits will be answered again: the router is away, busy, or its store is. Anything else ends the watch. */
export function isPassing(error: PamError): boolean {
  return errorCatalog[error.code].retry === 'backoff';
}

/** @returns the next state, and what changed with this look: a router that comes back is compared with what was shown. */
export function stepWatch(
  state: WatchState,
  event: WatchEvent,
  nowMs: number,
): { readonly state: WatchState; readonly changes: readonly GatewayChange[] } {
  if (event.kind === 'failed') {
    return { state: { ...state, away: { sinceMs: state.away?.sinceMs ?? nowMs, error: event.error } }, changes: [] };
  }
  const { gateways } = event;
  const changes = state.gateways === null ? [] : changesBetween(state.gateways, gateways);
  const kept =
    changes.length === 0 ? { changes: state.changes, changedAtMs: state.changedAtMs } : { changes, changedAtMs: nowMs };
  return { state: { gateways, seenAtMs: nowMs, away: null, ...kept }, changes };
}

export interface WatchOptions {
  readonly verbose: boolean;
  readonly online: boolean;
  readonly everyMs: number;
}

const shownOf = (state: WatchState, online: boolean): readonly NamedGateway[] =>
  (state.gateways ?? []).filter((one) => !online || isUp(one));

/** One JSON document on one line, for each look. */
export function watchJson(
  state: WatchState,
  changes: readonly GatewayChange[],
  nowMs: number,
  options: WatchOptions,
): string {
  const isKnown = state.gateways !== null;
  return `${JSON.stringify({
    at: isoTime(nowMs),
    router: state.away === null ? 'ok' : 'away',
    as_of: isKnown ? isoTime(state.seenAtMs) : null,
    age_seconds: isKnown ? Math.round((nowMs - state.seenAtMs) / 1_000) : null,
    ...(state.away === null ? {} : { error: { code: state.away.error.code, message: state.away.error.message } }),
    changes,
    gateways: isKnown ? shownOf(state, options.online).map(gatewayJson) : null,
  })}\n`;
}

/** Rows that changed stay marked this long. */
const markedMs = 10_000;

/** The list as text, a mark before each row that changed; below it what changed last, and how the router is. */
export function watchText(state: WatchState, nowMs: number, options: WatchOptions): string {
  const isFresh = nowMs - state.changedAtMs < markedMs;
  const marked = new Set(isFresh ? state.changes.map((each) => each.instance_id ?? each.gateway_uid) : []);
  const { head, rows } = gatewayTable(shownOf(state, options.online), options.verbose);
  // Column 2 is the UID: of a gateway in its row, of an instance in its.
  const table = tableText(
    ['', ...head],
    rows.map((row) => [marked.has(String(row[2])) ? '*' : '', ...row]),
  );
  const last = state.changes.map((each) => `  ${plain(changeText(each))}\n`);
  const changed = last.length === 0 ? '' : `changed ${timeCell(state.changedAtMs)}:\n${last.slice(0, 10).join('')}`;
  return `${statusLine(state, nowMs)}\n${state.gateways === null ? '' : table}${changed}`;
}

function statusLine({ away, gateways, seenAtMs }: WatchState, nowMs: number): string {
  const count = gateways?.length ?? 0;
  if (away === null) return `${timeCell(nowMs)}  ${count} gateway${count === 1 ? '' : 's'}`;
  const shown = gateways === null ? 'nothing is known yet' : `what is shown is ${ageText(nowMs - seenAtMs)} old`;
  const since = ageText(nowMs - away.sinceMs);
  return `${timeCell(nowMs)}  the router is away since ${since}, ${shown}: ${plain(away.error.message)}`;
}
