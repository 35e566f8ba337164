import { poolOf, adopt, adoptDelta, removed } from './adopt-rows.ts';
import type { AdmissionOutcome } from './decide-admission.ts';
import { warmUp, goAbsent, cut } from './health.ts';
import { askRead, holdAfterGap, type News, takeNext } from './held-news.ts';
import { graceMs } from './mass-loss.ts';
import type { PoolSnapshot } from './member.ts';
import type { Hello, Link, Member, Pool, PoolEffect, PoolEvent, RouterPools } from './pool-state.ts';
import { settle } from './settle.ts';

/** After a start every member is absent and keeps its place for RG. */
export function start(state: RouterPools, snapshots: readonly PoolSnapshot[], effects: PoolEffect[]): void {
  for (const snapshot of snapshots) adopt(state, snapshot, effects);
  const until = state.judgeMs + graceMs(state);
  state.startUntilMs = until;
  for (const pool of state.pools.values()) {
    for (const member of pool.members.values()) if (member.link === null) goAbsent(state, member, until);
  }
}

/** An answer and, behind it, those that waited for it. */
export function takeNews(state: RouterPools, event: News, effects: PoolEffect[]): void {
  const pool = state.pools.get(event.gateway);
  if (pool === undefined || holdAfterGap(state, pool, event, effects)) return;
  let next: News | undefined = event;
  while (next !== undefined) {
    if (next.kind === 'admitted') admitted(state, pool, next, effects);
    else {
      if (next.kind === 'settled') pool.busy = false;
      if (next.delta === null) return removed(state, pool.uid, effects);
      adoptDelta(state, pool, next.delta, effects);
    }
    settle(state, pool, effects);
    next = takeNext(state, pool);
  }
}

function admitted(state: RouterPools, pool: Pool, event: News & { kind: 'admitted' }, effects: PoolEffect[]): void {
  const joining = pool.joining.get(event.link);
  pool.joining.delete(event.link);
  adoptDelta(state, pool, event.delta, effects);
  if (joining === undefined) return;
  const { hello: asked } = joining;
  const member = pool.members.get(asked.instance);
  if (member !== undefined && isIn(event.outcome)) {
    if (joining.closed) {
      // Answers come in any order: a later link of it may be up already.
      if (member.link === null) goAbsent(state, member, state.judgeMs + state.timing.reserveMs);
    } else {
      // Two hellos of one identity were decided at once: the later link counts.
      cut(state, member, 'taken-over', effects);
      attach(state, pool, member, asked);
    }
  }
  if (!joining.closed) {
    const intent = member?.row.intent ?? { kind: 'serve' };
    effects.push({ kind: 'welcome', link: asked.link, outcome: event.outcome, intent, gateway: pool.gateway });
  }
}

function isIn(outcome: AdmissionOutcome): boolean {
  return outcome.kind === 'slot' || outcome.kind === 'standby';
}

function attach(state: RouterPools, pool: Pool, member: Member, asked: Hello): void {
  const id = asked.link;
  const link: Link = {
    id,
    pool,
    instance: member.row.instance,
    heardAtMs: state.judgeMs,
    heard: 0,
    upSinceMs: state.judgeMs,
  };
  state.links.set(id, link);
  member.link = link;
  member.health = 'ok';
  member.leaving = false;
  member.promoteByMs = null;
  member.maxStreams = asked.maxStreams;
  warmUp(member);
}

/** The pool as it was read whole, and what waited for that. */
export function takeSnapshot(state: RouterPools, snapshot: PoolSnapshot, effects: PoolEffect[]): void {
  const pool = poolOf(state, snapshot);
  adopt(state, snapshot, effects);
  settle(state, pool, effects);
  const next = takeNext(state, pool);
  if (next !== undefined) takeNews(state, next, effects);
}

/** The answer to a read that a gap asked for. */
export function read(state: RouterPools, event: PoolEvent & { kind: 'read' }, effects: PoolEffect[]): void {
  const pool = state.pools.get(event.gateway);
  if (pool === undefined) return;
  pool.reading = false;
  if (event.snapshot === null) return removed(state, event.gateway, effects);
  takeSnapshot(state, event.snapshot, effects);
  // What came since the read was asked for may follow on something later.
  if (pool.held.length > 0) askRead(pool, effects);
}
