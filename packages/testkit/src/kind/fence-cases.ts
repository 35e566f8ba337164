import { strict as assert } from 'node:assert';
import type { ApplyOutcome, KindSession } from '@sallyport/rotation';
import { createCleanup } from '../process/cleanup.ts';
import { startFaultProxy } from '../target/fault-proxy.ts';
import type { CaseDraft } from './bare-cases.ts';
import type { HeldWrite, KindLab, KindLogin } from './kind-lab.ts';
import { assertOpens, assertRefused, type By, never, openSession, probe, sidesOf, write } from './kind-steps.ts';
import { type KindWorld, kindWorld } from './kind-world.ts';

/** A holder with its write out and no answer to it. */
interface Holder {
  readonly world: KindWorld;
  readonly session: KindSession;
  readonly written: Promise<ApplyOutcome>;
}

async function holdWrite(lab: KindLab, by: By, login: KindLogin, held: HeldWrite, next: KindLogin): Promise<Holder> {
  const world = kindWorld();
  const session = await openSession(lab, by, login, world, held.target);
  if (session.evict) assert.equal(await session.evict(login.account), true);
  const order = { account: login.account, send: 1, next: next.credential, old: login.credential, limitMs: 30_000 };
  const written = write(session, order);
  written.catch(() => undefined);
  await held.waiting();
  return { world, session, written };
}

/**
 * F1: the holder of send 1 is paused or dead while its write waits at the target; send 2 is made on another connection;
 * then the first is let go. What opens afterwards is what the fence promises.
 */
async function lateWrite(lab: KindLab, by: By): Promise<void> {
  const server = lab.server();
  const fence = lab.kind.description.fence[by];
  const login = await server.makeAccount();
  const { account } = login;
  const [first, second] = [0, 1].map(() => ({ account, credential: server.nextCredential() }));
  assert.ok(first && second);
  const held = await server.hold?.(account, by);
  assert.ok(held);
  const holder = await holdWrite(lab, by, login, held, first);
  const world = kindWorld();
  const session = await openSession(lab, by, login, world);
  if (fence === 'evict') {
    assert.ok(session.evict, 'the fence evict has a way to evict');
    assert.equal(await session.evict(account), true, 'the holder is seen gone before the next permit');
    assert.equal((await holder.written).kind, 'unknown', 'who was evicted does not know');
  }
  const order = { account, send: 2, next: second.credential, old: login.credential, limitMs: 30_000 };
  const later = write(session, order);
  later.catch(() => undefined);
  if (held.passes) assert.equal((await later).kind, 'applied', 'the later write goes through');
  else holder.world.die();
  await held.release();
  const [early, late] = [await holder.written, await later];
  if (fence === 'none') {
    assert.equal(early.kind, 'applied', 'nothing stops a late write');
    await assertOpens(lab, first, 'the late write won: this is the drift that the re-checks are for');
  } else {
    // Behind the other it may find that the old credential is another one by now: then it says so, and another follows.
    if (late.kind === 'applied') await assertOpens(lab, second, `send 2 opens (${fence}; send 1: ${early.kind})`);
    else assert.ok(fence === 'compare' && late.kind === 'fenced', `send 2: ${late.kind}`);
    if (fence === 'additive') {
      assert.ok(session.retire);
      assert.equal((await session.retire(account, second.credential, never())).kind, 'retired', 'older ones are gone');
      await assertOpens(lab, second, 'and is kept by the retirement');
    }
    if (late.kind === 'applied') await assertRefused(lab, first, 'send 1 does not open');
  }
  await session.close();
  await holder.session.close();
  await world.allClosed();
  await holder.world.allClosed();
}

/** The target itself gives up: the holder only waits, and what it wrote never lands. */
async function limit(lab: KindLab, by: By): Promise<void> {
  const server = lab.server();
  const login = await server.makeAccount();
  const { account, credential: old } = login;
  const next = server.nextCredential();
  const held = await server.hold?.(account, by);
  assert.ok(held);
  const world = kindWorld();
  const session = await openSession(lab, by, login, world, held.target);
  if (session.evict) assert.equal(await session.evict(account), true);
  const outcome = await write(session, { account, send: 1, next, old, limitMs: 1_000 });
  assert.equal(outcome.kind, 'unknown');
  await session.close();
  await world.allClosed();
  await held.release();
  await assertOpens(lab, login, 'the write was given up by the target');
  await assertRefused(lab, { account, credential: next }, 'and does not land later');
}

/** The connection breaks at a byte of the write or of its answer. */
async function cutAt(lab: KindLab, by: By, at: (bytes: number) => number, whole: number): Promise<boolean> {
  const server = lab.server();
  const cleanup = createCleanup();
  try {
    const proxy = await startFaultProxy(cleanup.later, server.target);
    const target = { ...server.target, host: proxy.host, port: proxy.port };
    const login = await server.makeAccount();
    const { account, credential: old } = login;
    const next = server.nextCredential();
    const world = kindWorld();
    const session = await openSession(lab, by, login, world, target);
    if (session.evict) assert.equal(await session.evict(account), true);
    const before = proxy.passed();
    proxy.cutAfter(before.up + before.down + at(whole));
    const outcome = await write(session, { account, send: 1, next, old });
    await session.close();
    await world.allClosed();
    assert.ok(['unknown', 'applied'].includes(outcome.kind), `a lost connection says nothing: ${outcome.kind}`);
    const opens = await settled(lab, { account, credential: next }, login);
    if (outcome.kind === 'applied') assert.equal(opens, 'new', 'what was said to be applied is');
    return outcome.kind === 'unknown' && opens === 'new';
  } finally {
    await cleanup.run();
  }
}

/** Which of two opens, once the target has finished with what was left behind. */
async function settled(lab: KindLab, next: KindLogin, old: KindLogin): Promise<'new' | 'old'> {
  const isNew = (await probe(lab, next)) === 'opens';
  if (isNew) return 'new';
  if ((await probe(lab, old)) === 'opens') return 'old';
  // The write landed between the two looks.
  await assertOpens(lab, next, 'one of the two opens');
  return 'new';
}

async function wholeWrite(lab: KindLab, by: By): Promise<number> {
  const server = lab.server();
  const cleanup = createCleanup();
  try {
    const proxy = await startFaultProxy(cleanup.later, server.target);
    const login = await server.makeAccount();
    const { account, credential: old } = login;
    const world = kindWorld();
    const target = { ...server.target, host: proxy.host, port: proxy.port };
    const session = await openSession(lab, by, login, world, target);
    if (session.evict) assert.equal(await session.evict(account), true);
    const before = proxy.passed();
    assert.equal((await write(session, { account, send: 1, next: server.nextCredential(), old })).kind, 'applied');
    const after = proxy.passed();
    await session.close();
    await world.allClosed();
    return after.up + after.down - before.up - before.down;
  } finally {
    await cleanup.run();
  }
}

async function cuts(lab: KindLab, by: By): Promise<void> {
  const whole = await wholeWrite(lab, by);
  const places: readonly ((bytes: number) => number)[] = [
    () => 1,
    (bytes) => Math.floor(bytes / 2),
    // An answer may be several frames: which of them are lost differs.
    (bytes) => bytes - 220,
    (bytes) => bytes - 40,
    (bytes) => bytes - 1,
  ];
  let landedUnknown = 0;
  for (const at of places) {
    const landed = await cutAt(lab, by, (bytes) => Math.max(1, at(bytes)), whole);
    if (landed) landedUnknown += 1;
  }
  // On a busy machine an answer comes in other frames than on a quiet one: the place in between is looked for.
  for (let back = 60; back <= 400 && landedUnknown === 0; back += 36) {
    if (await cutAt(lab, by, (bytes) => Math.max(1, bytes - back), whole)) landedUnknown += 1;
  }
  assert.ok(landedUnknown > 0, 'a write that landed and whose answer was lost was among them');
}

export function fenceCases(lab: KindLab): readonly CaseDraft[] {
  return sidesOf(lab).flatMap((by): CaseDraft[] => [
    {
      name: `${by}: a late write does what the fence ${lab.kind.description.fence[by]} says`,
      needs: ['server', 'hold'],
      run: () => lateWrite(lab, by),
    },
    {
      name: `${by}: the target gives up a write past its limit`,
      needs: ['server', 'hold', 'limit'],
      run: () => limit(lab, by),
    },
    { name: `${by}: a connection cut anywhere in a write is unknown`, needs: ['server'], run: () => cuts(lab, by) },
  ]);
}
