import type { GatewayUid, InstanceId } from '@sallyport/protocol';
import type { AdmissionOutcome } from './decide-admission.ts';
import { askRead, holdAfterGap, type News, takeNext } from './held-news.ts';
import { isListed, type MemberRow, type PoolDelta, type PoolSnapshot } from './member.ts';
import {
  type CutReason,
  type Hello,
  type Joining,
  type Link,
  type MassLoss,
  type Member,
  type Pool,
  type PoolEffect,
  type PoolEvent,
  type RouterPools,
  refOf,
} from './pool-state.ts';
import { forgetEvidenceOf, slowStart, sweepEvidence, takeWord } from './take-word.ts';
import { isReplaced } from './pool-rows.ts';
import { beatIntervalMs, graceFor, silenceLimits, tellBeat } from './timing.ts';

/**
 * The pool's state machine: one event in, effects out; synchronous, no I/O, no clock of its own.
 *
 * Register 1 (membership) and 2 (intent) are rows of the store, changed there by transactions that this file asks for
 * and adopted here by version, each behind the one it follows on (held-news.ts); register 3 (health) lives here: ok ⇄ suspect → absent → ok.
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

// --- links and health

function beat(state: RouterPools, event: PoolEvent & { kind: 'beat' }): readonly PoolEffect[] {
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

function hello(state: RouterPools, asked: Hello, effects: PoolEffect[]): void {
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

/** New or back: what is on its way there now says nothing about how it will do. */
function warmUp(member: Member): void {
  member.openings = 0;
  member.warmth = slowStart.first;
}

function closed(state: RouterPools, id: string, effects: PoolEffect[]): void {
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

/** Over half of this router's links closed within S: it is us, not they, unless one that stayed says otherwise. */
function noteClose(state: RouterPools): void {
  const since = state.judgeMs - limits(state).suspectMs;
  state.closes.push(state.judgeMs);
  while ((state.closes[0] ?? since) < since) state.closes.shift();
  const recent = state.closes.length;
  if (recent < 2 || recent * 2 <= state.links.size + recent) return;
  // Found in this very millisecond: who was lost before this one has its grace, and this one gets it in `goAbsent`.
  if (state.massLoss?.untilMs === state.judgeMs) return;
  state.massLoss = { sinceMs: state.closes[0] ?? state.judgeMs, untilMs: state.judgeMs };
  state.graceUntilMs = state.judgeMs + graceMs(state);
  for (const member of lostIn(state, state.massLoss)) {
    member.reserveUntilMs = Math.max(member.reserveUntilMs, state.graceUntilMs);
  }
}

/**
 * A link from before the loss proved a round trip after it: router and network are well, so they died, and whoever
 * waits need not wait for RG. Were this wrong, the next close would find a mass loss again.
 */
function refuteMassLoss(state: RouterPools, loss: MassLoss): void {
  state.lookAtMs = 0;
  state.massLoss = null;
  state.closes = [];
  state.graceUntilMs = 0;
  for (const member of lostIn(state, loss)) {
    member.reserveUntilMs = member.absentSinceMs + state.timing.reserveMs;
  }
}

function* lostIn(state: RouterPools, loss: MassLoss): Generator<Member> {
  for (const pool of state.pools.values()) {
    for (const member of pool.members.values()) {
      const isLost = member.absentSinceMs >= loss.sinceMs && member.absentSinceMs <= loss.untilMs;
      if (member.health === 'absent' && isLost) yield member;
    }
  }
}

/**
 * While a grace runs and nobody at all is linked it cannot be seen whether the way is open again: it counts from the
 * first link. An outage of 4 s would otherwise leave a member 1 s of RG, and give its slot to whoever dials first.
 */
function holdGrace(state: RouterPools): void {
  const before = state.graceUntilMs;
  if (state.massLoss === null || state.judgeMs >= before) return;
  state.graceUntilMs = state.judgeMs + graceMs(state);
  for (const pool of state.pools.values()) {
    for (const member of pool.members.values()) {
      if (member.health === 'absent' && member.reserveUntilMs >= before) member.reserveUntilMs = state.graceUntilMs;
    }
  }
}

/** RG as it is now, with as many members as there are. */
export function graceMs(state: RouterPools): number {
  let members = 0;
  for (const pool of state.pools.values()) members += pool.members.size;
  return graceFor(state.timing, members);
}

function goAbsent(state: RouterPools, member: Member, reserveUntilMs: number): void {
  member.health = 'absent';
  member.absentSinceMs = state.judgeMs;
  member.reserveUntilMs = Math.max(reserveUntilMs, state.graceUntilMs);
  member.beatsOnTime = 0;
}

function cut(state: RouterPools, member: Member, why: CutReason, effects: PoolEffect[]): void {
  if (member.link === null) return;
  state.links.delete(member.link.id);
  effects.push({ kind: 'cut', link: member.link.id, why });
  member.link = null;
}

function hedged(state: RouterPools, gateway: GatewayUid, instance: InstanceId, epoch: number): void {
  const member = state.pools.get(gateway)?.members.get(instance);
  if (member?.row.membership === 'slot' && member.row.epoch === epoch) makeSuspect(member);
}

function makeSuspect(member: Member): void {
  if (member.health === 'absent' || member.row.membership !== 'slot') return;
  member.health = 'suspect';
  member.beatsOnTime = 0;
}

function acknowledged(state: RouterPools, link: string, epoch: number): void {
  const member = memberOf(state, link);
  if (member !== undefined && member.row.epoch === epoch) member.promoteByMs = null;
}

function memberOf(state: RouterPools, id: string): Member | undefined {
  const link = state.links.get(id);
  const member = link?.pool.members.get(link.instance);
  return member?.link === link ? member : undefined;
}

// --- rows of the store

function poolOf(state: RouterPools, snapshot: PoolSnapshot): Pool {
  const { uid } = snapshot.gateway;
  const known = state.pools.get(uid);
  if (known !== undefined) return known;
  const pool: Pool = {
    uid,
    gateway: { ...snapshot.gateway, version: -1 },
    members: new Map(),
    ring: [],
    cursor: -1,
    joining: new Map(),
    busy: false,
    restUntilMs: 0,
    held: [],
    reading: false,
    openings: new Map(),
    ejections: new Map(),
    sweptAtMs: 0,
  };
  state.pools.set(uid, pool);
  return pool;
}

/** After a start every member is absent and keeps its place for RG. */
function start(state: RouterPools, snapshots: readonly PoolSnapshot[], effects: PoolEffect[]): void {
  for (const snapshot of snapshots) adopt(state, snapshot, effects);
  const until = state.judgeMs + graceMs(state);
  for (const pool of state.pools.values()) {
    for (const member of pool.members.values()) if (member.link === null) goAbsent(state, member, until);
  }
}

/** An answer and, behind it, those that waited for it. */
function takeNews(state: RouterPools, event: News, effects: PoolEffect[]): void {
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

function takeSnapshot(state: RouterPools, snapshot: PoolSnapshot, effects: PoolEffect[]): void {
  const pool = poolOf(state, snapshot);
  adopt(state, snapshot, effects);
  settle(state, pool, effects);
  const next = takeNext(state, pool);
  if (next !== undefined) takeNews(state, next, effects);
}

function read(state: RouterPools, event: PoolEvent & { kind: 'read' }, effects: PoolEffect[]): void {
  const pool = state.pools.get(event.gateway);
  if (pool === undefined) return;
  pool.reading = false;
  if (event.snapshot === null) return removed(state, event.gateway, effects);
  takeSnapshot(state, event.snapshot, effects);
  // What came since the read was asked for may follow on something later.
  if (pool.held.length > 0) askRead(pool, effects);
}

/** Takes over rows unless newer ones are known, and tells members what changed for them. */
function adopt(state: RouterPools, snapshot: PoolSnapshot, effects: PoolEffect[]): void {
  const pool = poolOf(state, snapshot);
  if (snapshot.gateway.version <= pool.gateway.version) return;
  pool.gateway = snapshot.gateway;
  const listed = new Set<InstanceId>();
  for (const row of snapshot.members) {
    listed.add(row.instance);
    const member = pool.members.get(row.instance);
    if (member === undefined) pool.members.set(row.instance, newMember(state, row));
    else changeRow(state, member, row, effects);
  }
  for (const [instance, member] of pool.members) {
    if (!listed.has(instance)) drop(state, pool, member, effects);
  }
  closeRing(pool);
}

/** The same with the rows that one transaction changed: all that was before it is known. */
function adoptDelta(state: RouterPools, pool: Pool, delta: PoolDelta, effects: PoolEffect[]): void {
  if (delta.gateway.version <= pool.gateway.version) return;
  pool.gateway = delta.gateway;
  let isRingNew = false;
  for (const row of delta.changed) {
    const member = pool.members.get(row.instance);
    const before = member?.row;
    if (before?.membership !== row.membership || before.seq !== row.seq) isRingNew = true;
    if (!isListed(row)) {
      if (member !== undefined) drop(state, pool, member, effects);
    } else if (member === undefined) pool.members.set(row.instance, newMember(state, row));
    else changeRow(state, member, row, effects);
  }
  if (isRingNew) closeRing(pool);
}

/** A member whose row is no longer one of the pool's. */
function drop(state: RouterPools, pool: Pool, member: Member, effects: PoolEffect[]): void {
  pool.members.delete(member.row.instance);
  forgetEvidenceOf(pool, member.row.instance);
  // One that said bye closes its own link.
  if (member.leaving && member.link !== null) state.links.delete(member.link.id);
  else dismiss(state, member, effects);
}

function closeRing(pool: Pool): void {
  pool.ring = [...pool.members.values()]
    .filter((member) => member.row.membership === 'slot')
    .sort((a, b) => a.row.seq - b.row.seq);
}

function newMember(state: RouterPools, row: MemberRow): Member {
  const member: Member = {
    row,
    link: null,
    health: 'absent',
    absentSinceMs: state.judgeMs,
    reserveUntilMs: 0,
    beatsOnTime: 0,
    promoteByMs: null,
    leaving: false,
    streams: 0,
    maxStreams: null,
    openings: 0,
    warmth: slowStart.first,
    heartbeatAtMs: row.connectedAtMs,
    rival: null,
  };
  goAbsent(state, member, state.judgeMs + state.timing.reserveMs);
  return member;
}

function changeRow(state: RouterPools, member: Member, row: MemberRow, effects: PoolEffect[]): void {
  const before = member.row;
  member.row = row;
  const promoted = row.membership === 'slot' && (before.membership !== 'slot' || before.epoch !== row.epoch);
  if (promoted) {
    member.promoteByMs = state.judgeMs + state.timing.promoteMs;
    warmUp(member);
  } else if (row.membership !== 'slot') member.promoteByMs = null;
  if (row.membership === 'standby' && member.health === 'suspect') member.health = 'ok';
  if (member.link === null) return;
  const link = member.link.id;
  if (promoted || row.membership !== before.membership) effects.push({ kind: 'tell', link, member: row });
  if (!sameIntent(row, before)) effects.push({ kind: 'intend', link, intent: row.intent });
}

/** A standby whose row went while its link lives was drained: it is told, so that it ends and does not come back. */
function dismiss(state: RouterPools, member: Member, effects: PoolEffect[]): void {
  const { row, link } = member;
  if (link !== null && row.membership === 'standby') {
    effects.push({ kind: 'intend', link: link.id, intent: { kind: 'drain', by: 'operator', deadlineAtMs: 0 } });
  }
  cut(state, member, 'gone', effects);
}

function sameIntent(a: MemberRow, b: MemberRow): boolean {
  if (a.intent.kind === 'drain' && b.intent.kind === 'drain') return a.intent.deadlineAtMs === b.intent.deadlineAtMs;
  return a.intent.kind === b.intent.kind;
}

function removed(state: RouterPools, gateway: GatewayUid, effects: PoolEffect[]): void {
  state.removed.add(gateway);
  const pool = state.pools.get(gateway);
  if (pool === undefined) return;
  for (const member of pool.members.values()) cut(state, member, 'revoked', effects);
  state.pools.delete(gateway);
}

// --- what time brings

/** Streams on their way and pairs are looked through this often: their times are tens of seconds. */
const evidenceSweepMs = 1_000;

type Silence = ReturnType<typeof silenceLimits>;

const never = Number.POSITIVE_INFINITY;

/** h as it is told now, ms. */
export function beatMs(state: RouterPools): number {
  state.told = tellBeat(state.timing, state.told, state.links.size, state.judgeMs);
  return Math.ceil(state.told.beatMs);
}

/** S and G as they are now. */
export function limits(state: RouterPools): Silence {
  return silenceLimits(state.timing, beatMs(state));
}

/**
 * A tick that has something to look for. Most have not: nothing falls due before `lookAtMs`, unless an event comes, and
 * each that could matter sets it back. Twenty scans a second of all members cost the simulation a third of its time.
 */
function look(state: RouterPools): readonly PoolEffect[] {
  const effects: PoolEffect[] = [];
  const silence = limits(state);
  if (state.links.size === 0) holdGrace(state);
  for (const pool of state.pools.values()) tick(state, pool, silence, effects);
  if (effects.length > 0 || (state.massLoss !== null && state.links.size === 0)) {
    state.lookAtMs = state.judgeMs;
    return effects;
  }
  const sinks = state.told.beatMs > beatIntervalMs(state.timing, state.links.size);
  let at = sinks ? state.judgeMs + state.timing.beatMs : never;
  for (const pool of state.pools.values()) at = Math.min(at, nextLookAt(state, pool, silence));
  state.lookAtMs = at;
  return effects;
}

/**
 * The earliest judge time at which a tick may do something in this pool, if no event comes before. A beat only moves it
 * later, except that of a standby that was late: while one is, every tick looks.
 */
function nextLookAt(state: RouterPools, pool: Pool, silence: Silence): number {
  if (pool.joining.size > 0 || pool.held.length > 0) return state.judgeMs;
  let at = pool.sweptAtMs + evidenceSweepMs;
  const due = (ms: number): void => {
    if (ms > state.judgeMs && ms < at) at = ms;
  };
  due(pool.restUntilMs);
  for (const member of pool.members.values()) {
    if (member.link !== null) at = Math.min(at, member.link.heardAtMs + silence.suspectMs);
    if (member.promoteByMs !== null) due(member.promoteByMs);
    if (member.health !== 'absent') continue;
    due(member.reserveUntilMs);
    due(member.absentSinceMs + state.timing.unwantedMs);
  }
  return at;
}

function tick(state: RouterPools, pool: Pool, silence: Silence, effects: PoolEffect[]): void {
  let calm = pool.ring.length === pool.members.size || pool.ring.length >= roomOf(pool);
  for (const member of pool.members.values()) {
    if (member.link === null || member.promoteByMs !== null) calm = false;
    if (member.link === null) continue;
    const silentMs = state.judgeMs - member.link.heardAtMs;
    if (silentMs >= silence.cutMs) {
      calm = false;
      cut(state, member, 'silent', effects);
      goAbsent(state, member, state.judgeMs);
    } else if (silentMs >= silence.suspectMs && member.health === 'ok') makeSuspect(member);
  }
  if (pool.joining.size > 0) expireChallenges(state, pool, effects);
  if (state.judgeMs - pool.sweptAtMs >= evidenceSweepMs) sweepEvidence(pool, state.judgeMs);
  if (pool.held.length > 0 && state.judgeMs >= pool.restUntilMs) askRead(pool, effects);
  if (!calm) settle(state, pool, effects);
}

function expireChallenges(state: RouterPools, pool: Pool, effects: PoolEffect[]): void {
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

/** Asks the store for the next move that is due, if any: one at a time for a pool. */
function settle(state: RouterPools, pool: Pool, effects: PoolEffect[]): void {
  if (pool.busy || state.judgeMs < pool.restUntilMs) return;
  const gone: Member[] = [];
  const lost: Member[] = [];
  const absent: Member[] = [];
  const joining = joiningIn(pool);
  for (const member of pool.members.values()) {
    if (member.promoteByMs === null && member.health !== 'absent') continue;
    // Whoever is saying hello is alive, and the answer on its way may already have changed its row.
    if (joining.has(member.row.instance)) continue;
    if (member.promoteByMs !== null && state.judgeMs >= member.promoteByMs) {
      return ask(pool, effects, { method: 'demote', member: refOf(member.row) });
    }
    if (member.health !== 'absent') continue;
    const past = state.judgeMs >= member.reserveUntilMs;
    if (member.row.membership === 'standby') {
      if (past) gone.push(member);
    } else if (state.judgeMs >= member.absentSinceMs + state.timing.unwantedMs) lost.push(member);
    else if (past && member.row.membership === 'slot' && !isReplaced(member.row)) absent.push(member);
  }
  if (lost.length > 0) {
    for (const member of lost) effects.push({ kind: 'lost', gateway: pool.uid, instance: member.row.instance });
    return ask(pool, effects, { method: 'leave', members: lost.map((m) => refOf(m.row)), reason: 'lost' });
  }
  if (gone.length > 0) {
    return ask(pool, effects, { method: 'leave', members: gone.map((m) => refOf(m.row)), reason: 'link-closed' });
  }
  const free = roomOf(pool) - pool.ring.length;
  if (free <= 0 && (absent.length === 0 || free < 0)) return;
  const waiting = waitingIn(state, pool);
  if (waiting.length === 0) return;
  if (absent.length === 0 || free >= waiting.length) return ask(pool, effects, { method: 'fill', waiting });
  absent.sort((a, b) => a.absentSinceMs - b.absentSinceMs);
  ask(pool, effects, { method: 'reclaim', absent: absent.map((m) => refOf(m.row)), waiting });
}

/** How many slots there may be now; the store counts for itself. */
function roomOf(pool: Pool): number {
  let room = pool.gateway.maxInstances;
  for (const member of pool.ring) if (isReplaced(member.row)) room += 1;
  return room;
}

function ask(pool: Pool, effects: PoolEffect[], op: (PoolEffect & { kind: 'store' })['op']): void {
  pool.busy = true;
  effects.push({ kind: 'store', gateway: pool.uid, op });
}

const nobody: ReadonlySet<InstanceId> = new Set();

/** A set, because a thousand may be joining a pool of a thousand: after a restart, all of them at once. */
function joiningIn(pool: Pool): ReadonlySet<InstanceId> {
  if (pool.joining.size === 0) return nobody;
  const instances = new Set<InstanceId>();
  for (const joining of pool.joining.values()) if (!joining.closed) instances.add(joining.hello.instance);
  return instances;
}

/** Who may be promoted now: in line, serving, heard within S. */
function waitingIn(state: RouterPools, pool: Pool): readonly InstanceId[] {
  const { suspectMs } = limits(state);
  const waiting: Member[] = [];
  for (const member of pool.members.values()) {
    if (member.row.membership !== 'standby' || member.row.intent.kind !== 'serve') continue;
    if (member.link === null || member.leaving || state.judgeMs - member.link.heardAtMs >= suspectMs) continue;
    waiting.push(member);
  }
  return waiting.sort((a, b) => a.row.seq - b.row.seq).map((member) => member.row.instance);
}
