import { removed } from './adopt-rows.ts';
import { beat, hello, closed, hedged, acknowledged, memberOf } from './link-events.ts';
import { look } from './look.ts';
import type { PoolEffect, PoolEvent, RouterPools } from './pool-state.ts';
import { start, takeNews, takeSnapshot, read } from './take-news.ts';
import { takeWord } from './take-word.ts';

/**
 * The pool's state machine: one event in, effects out; synchronous, no I/O, no clock of its own.
 *
 * Register 1 (membership) and 2 (intent) are rows of the store, changed there by transactions that settle.ts asks for
 * and adopted by version (adopt-rows.ts), each behind the one it follows on (take-news.ts, held-news.ts); register 3 (health.ts) lives in
 * memory: ok ⇄ suspect → absent → ok. Links come and go in link-events.ts, time in look.ts.
 *
 * I4 a row adopted as cordoned, draining or displaced is never picked again (route.ts reads the same rows).
 * I7 silence is counted on the judge's clock.
 * I9 a slot is asked back only when its holder is absent past its reserve, and nobody is joining under its identity.
 * I13 whatever frees a slot or adds a waiting standby is followed by `settle`, at once or at the next tick.
 *
 * @see architecture section 4; test/pool/registers.test.ts visits every cell of its table.
 */
export function step(state: RouterPools, event: PoolEvent, nowMs: number): readonly PoolEffect[] {
  state.judgeMs += state.rules.runningMs(nowMs - state.seenAtMs, state.timing);
  state.seenAtMs = nowMs;
  if (event.kind === 'beat') return beat(state, event);
  if (event.kind === 'tick') return state.judgeMs < state.lookAtMs ? none : look(state);
  // Words about streams move no member, and no time that a look waits for.
  if (!('stream' in event)) state.lookAtMs = 0;
  const effects: PoolEffect[] = [];
  apply(state, event, effects);
  return effects;
}

const none: readonly PoolEffect[] = [];

function apply(state: RouterPools, event: Exclude<PoolEvent, { kind: 'beat' | 'tick' }>, effects: PoolEffect[]): void {
  switch (event.kind) {
    case 'started':
      return start(state, event.snapshots, effects);
    case 'hello':
      return hello(state, event.hello, effects);
    case 'admitted':
    case 'settled':
    case 'changed':
      return takeNews(state, event, effects);
    case 'admission-failed':
      state.pools.get(event.gateway)?.joining.delete(event.link);
      return;
    case 'closed':
      return closed(state, event.link, effects);
    case 'hedged':
      return hedged(state, event.gateway, event.instance, event.epoch);
    case 'acknowledged':
      return acknowledged(state, event.link, event.epoch);
    case 'bye': {
      const member = memberOf(state, event.link);
      if (member !== undefined) member.leaving = true;
      return;
    }
    case 'snapshot':
      if (state.removed.has(event.snapshot.gateway.uid)) return;
      return takeSnapshot(state, event.snapshot, effects);
    case 'read':
      return read(state, event, effects);
    case 'read-failed': {
      const pool = state.pools.get(event.gateway);
      if (pool === undefined) return;
      pool.reading = false;
      pool.restUntilMs = state.judgeMs + state.timing.promoteMs;
      return;
    }
    case 'settle-failed': {
      const pool = state.pools.get(event.gateway);
      if (pool === undefined) return;
      pool.busy = false;
      pool.restUntilMs = state.judgeMs + state.timing.promoteMs;
      return;
    }
    case 'removed':
      return removed(state, event.gateway, effects);
    case 'stream-opened':
    case 'stream-unreached':
    case 'stream-ended':
    case 'stream-released': {
      const pool = state.pools.get(event.gateway);
      if (pool !== undefined) takeWord(state, pool, event, effects);
      return;
    }
    default:
      return event satisfies never;
  }
}
