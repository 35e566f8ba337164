import type { GatewayUid, InstanceId } from '@sallyport/protocol';
import { warmUp, goAbsent, cut, makeSuspect } from './health.ts';
import { noteClose, refuteMassLoss } from './mass-loss.ts';
import type { Hello, Joining, Link, Member, Pool, PoolEffect, PoolEvent, RouterPools } from './pool-state.ts';
import { settle } from './settle.ts';
import { beatMs, limits } from './silence.ts';

const none: readonly PoolEffect[] = [];

/** A beat proved a round trip. Two on time make a suspect one ok. */
export function beat(state: RouterPools, event: PoolEvent & { kind: 'beat' }): readonly PoolEffect[] {
  const link = state.links.get(event.link);
  if (link === undefined || event.heard <= link.heard) return none;
  const silentMs = state.judgeMs - link.heardAtMs;
  link.heard = event.heard;
  link.heardAtMs = state.judgeMs;
  if (state.massLoss !== null && link.upSinceMs < state.massLoss.sinceMs) refuteMassLoss(state, state.massLoss);
  const member = link.pool.members.get(link.instance);
  if (member === undefined || member.link !== link) return none;
  member.heartbeatAtMs = event.wallMs;
  if (member.health === 'suspect') {
    member.beatsOnTime = silentMs <= 2 * beatMs(state) ? member.beatsOnTime + 1 : 1;
    if (member.beatsOnTime >= 2) {
      member.health = 'ok';
      warmUp(member);
    }
  }
  return link.pool.joining.size === 0 ? none : answerChallenge(link, member, event.wallMs);
}

/** The old link proved a round trip after the newcomer came: two processes have one identity. */
function answerChallenge(link: Link, member: Member, wallMs: number): readonly PoolEffect[] {
  const effects: PoolEffect[] = [];
  for (const joining of link.pool.joining.values()) {
    if (joining.stage !== 'challenging' || joining.hello.instance !== link.instance) continue;
    link.pool.joining.delete(joining.hello.link);
    member.rival = { from: joining.hello.address, atMs: wallMs };
    effects.push({ kind: 'refuse', link: joining.hello.link, instance: link.instance, kept: link.id });
  }
  return effects;
}

/** A newcomer is admitted by the store; while a link of its identity stands, that one is challenged first. */
export function hello(state: RouterPools, asked: Hello, effects: PoolEffect[]): void {
  const pool = state.pools.get(asked.gateway);
  if (pool === undefined) return;
  for (const other of pool.joining.values()) {
    // Two newcomers at once: the later one takes the earlier one's place in the queue for the identity.
    if (other.hello.instance === asked.instance && other.stage === 'challenging') {
      pool.joining.delete(other.hello.link);
      effects.push({ kind: 'refuse', link: other.hello.link, instance: asked.instance, kept: asked.link });
    }
  }
  const rival = pool.members.get(asked.instance)?.link ?? null;
  const joining: Joining = {
    hello: asked,
    stage: rival === null ? 'admitting' : 'challenging',
    challengeUntilMs: state.judgeMs + limits(state).suspectMs,
    closed: false,
  };
  pool.joining.set(asked.link, joining);
  if (rival === null) effects.push({ kind: 'admit', hello: asked });
}

/** A link closed: its member is absent, and who was joining under its identity takes its place. */
export function closed(state: RouterPools, id: string, effects: PoolEffect[]): void {
  const link = state.links.get(id);
  if (link === undefined) return closeJoining(state, id);
  state.links.delete(id);
  const { pool } = link;
  const member = pool.members.get(link.instance);
  noteClose(state);
  if (member === undefined || member.link !== link) return;
  member.link = null;
  goAbsent(state, member, state.judgeMs + state.timing.reserveMs);
  for (const joining of pool.joining.values()) {
    if (joining.hello.instance === link.instance && joining.stage === 'challenging') takeOver(joining, effects);
  }
  settle(state, pool, effects);
}

function closeJoining(state: RouterPools, id: string): void {
  for (const pool of state.pools.values()) {
    const joining = pool.joining.get(id);
    if (joining === undefined) continue;
    if (joining.stage === 'challenging') {
      pool.joining.delete(id);
      continue;
    }
    joining.closed = true;
    // It was back, if only for a moment: its place is kept from now on, not from the earlier loss.
    const member = pool.members.get(joining.hello.instance);
    if (member?.health !== 'absent') continue;
    member.reserveUntilMs = Math.max(member.reserveUntilMs, state.judgeMs + state.timing.reserveMs);
  }
}

function takeOver(joining: Joining, effects: PoolEffect[]): void {
  joining.stage = 'admitting';
  effects.push({ kind: 'admit', hello: joining.hello });
}

/** A request went elsewhere because it did not answer. */
export function hedged(state: RouterPools, gateway: GatewayUid, instance: InstanceId, epoch: number): void {
  const member = state.pools.get(gateway)?.members.get(instance);
  if (member?.row.membership === 'slot' && member.row.epoch === epoch) makeSuspect(member);
}

/** It has heard of its promotion. */
export function acknowledged(state: RouterPools, link: string, epoch: number): void {
  const member = memberOf(state, link);
  if (member !== undefined && member.row.epoch === epoch) member.promoteByMs = null;
}

/** The member whose link this is, if it still is. */
export function memberOf(state: RouterPools, id: string): Member | undefined {
  const link = state.links.get(id);
  const member = link?.pool.members.get(link.instance);
  return member?.link === link ? member : undefined;
}

/** A challenged link that stayed silent for S loses its identity to the newcomer. */
export function expireChallenges(state: RouterPools, pool: Pool, effects: PoolEffect[]): void {
  for (const joining of pool.joining.values()) {
    if (joining.stage !== 'challenging') continue;
    const rival = pool.members.get(joining.hello.instance);
    if (rival !== undefined && rival.link !== null) {
      if (state.judgeMs < joining.challengeUntilMs) continue;
      cut(state, rival, 'taken-over', effects);
      goAbsent(state, rival, state.judgeMs + state.timing.reserveMs);
    }
    takeOver(joining, effects);
  }
}
