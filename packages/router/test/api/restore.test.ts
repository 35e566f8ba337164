import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { AuditEvent, DeviceId, Head, Item, WireError } from '@sallyport/protocol';
import { digestOf, eventHash, foldLog, newBoxKey, newSigningKey, signEntry, signEvent, wrapKey } from '@sallyport/seal';
import { createCleanup, tempDir } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningRouter, startRouter } from '../../src/index.ts';
import { backupStore } from '../../src/program/inspect-store.ts';
import { restoreStore, storeFiles } from '../../src/store/index.ts';
import { type Answer, errorOf } from '../support/api-client.ts';
import { claim, installation, nowSeconds, type Operator, secondDevice } from '../support/operator.ts';
import { scriptedInstance } from '../support/scripted-instance.ts';

/** A router in the place of a newer one: what it takes back, and from whom (docs/adr/0018-restore.md). */
const cleanup = createCleanup();
const dataDir = tempDir(cleanup.later);
const backup = join(tempDir(cleanup.later), 'backup.sqlite');
let router: RunningRouter;
let anna: Operator;
let made: Awaited<ReturnType<typeof installation>>;
let other: Operator['call'];
/** What the backup does not know: entries of the log from here on, and signed events. */
let before: Head;
const lostEvents: string[] = [];
const giveBack = (entries: readonly string[]) => anna.call('POST', '/v1/log/given-back', { entries });
const giveEvents = (events: readonly string[], call = anna.call) =>
  call('POST', '/v1/audit/actor/given-back', { events });
const codeOf = (answer: Answer): WireError['code'] => errorOf(answer).code;
const newestOf = async (kind: string): Promise<readonly AuditEvent[]> =>
  (await anna.must<{ events: AuditEvent[] }>('GET', '/v1/audit?limit=50&order=newest')).events.filter(
    (event) => event.kind === kind,
  );
const headNow = async (): Promise<Head> => (await anna.must<{ head: Head }>('GET', '/v1/log')).head;

async function start(port = 0): Promise<void> {
  router = await startRouter({ dataDir, port, log: { level: 'error', format: 'json', write: () => undefined } });
}
async function restore({ keepOld = false } = {}): Promise<void> {
  const { port } = router;
  await router.stop();
  if (!keepOld) for (const suffix of ['', '-wal', '-shm']) rmSync(storeFiles(dataDir).file + suffix, { force: true });
  restoreStore({ dataDir, from: backup, nowMs: Date.now() });
  await start(port);
}

/** The next event of anna's device, signed here; `call` of the operator signs its own. */
async function signed(after: { seq: number; hash: string }, act: string, key = anna.device): Promise<string> {
  const event = { actor: key.id, seq: after.seq + 1, prev: after.hash, at: nowSeconds(), act, on: [] };
  return signEvent({ ...event, digest: await digestOf({}) }, key);
}
const chainEnd = () => anna.must<{ seq: number; hash: string }>('GET', '/v1/audit/actor');

beforeAll(async () => {
  await start();
  anna = await claim(router);
  made = await installation(anna);
  other = await secondDevice(router.port, anna);
  await router.stop();
  backupStore(dataDir, backup);
  await start(router.port);
  before = anna.log().head;
  // From here on: two audited calls, a gateway, and new keys for the first one.
  const end = await chainEnd();
  for (const act of ['PUT /v1/items/one', 'PUT /v1/items/two']) {
    const last = lostEvents.at(-1);
    const from = last === undefined ? end : { seq: end.seq + lostEvents.length, hash: await eventHash(last) };
    lostEvents.push(await signed(from, act));
  }
  await anna.newGateway(made.keys, 'made after the backup', 1);
  const [signKey, boxKey] = [await newSigningKey(), await newBoxKey()];
  const { gateway } = made.pool;
  const place = { app: made.keys.app, part: 'facts', gen: 1 } as const;
  const wrap = await wrapKey(place, made.keys.facts, boxKey.publicJwk, anna.device, nowSeconds());
  const entry = await anna.entry({
    kind: 'gateway-rekeyed',
    gateway,
    signKey: signKey.publicJwk,
    boxKey: boxKey.publicJwk,
  });
  const wraps = [{ ...place, recipient: boxKey.id, wrap }];
  await anna.must('POST', `/v1/gateways/${gateway}/rekey`, { entry, wraps }, true);
  await anna.took(entry);
  await restore();
});
afterAll(async () => {
  anna.close();
  await router.stop();
  await cleanup.run();
});

test('a new entry is refused until somebody reopens, however it comes', async () => {
  const state = await foldLog(anna.log(), []);
  expect(state.head.n).toBe(before.n + 2);
  const restored = { ...anna.log(), head: before };
  const pin = await signEntry(restored, { kind: 'router-pin', pins: [router.pin] }, anna.device, nowSeconds());
  expect(errorOf(await anna.call('POST', '/v1/log', { entry: pin }))).toMatchObject({
    code: 'PAM_TRUST_RESTORED',
    remedy: expect.stringContaining('pam trust reopen'),
  });
  expect(await headNow()).toEqual(before);
});

test('entries that do not continue the log, or that nobody may sign there, store nothing', async () => {
  const [first = '', second = ''] = anna.entries().slice(before.n + 1);
  expect(errorOf(await giveBack([second]))).toMatchObject({
    code: 'PAM_TRUST_LOG_MOVED',
    detail: { head: before.n, entry: before.n + 2 },
  });
  expect(codeOf(await giveBack([second, first]))).toBe('PAM_TRUST_LOG_MOVED');
  // Fixed: the second was stored under a number of its own, and nothing could be appended behind it.
  expect(errorOf(await giveBack([first, first]))).toMatchObject({ detail: { why: 'twice' } });
  expect(codeOf(await giveBack([first, `${second.slice(0, -8)}AAAAAAAA`]))).toBe('PAM_TRUST_ENTRY_INVALID');
  // A device that was removed by one of the lost entries signs another behind it.
  const stolen = await newSigningKey();
  let log = anna.log();
  const added: string[] = [];
  const person = { person: anna.person };
  const named = { id: stolen.id as DeviceId, key: stolen.publicJwk, kind: 'cli' as const, label: 'stolen' };
  for (const [body, key] of [
    [{ kind: 'device', ...person, device: named }, anna.personKey],
    [{ kind: 'device-removed', device: named.id }, anna.device],
  ] as const) {
    const entry = await signEntry(log, body, key, nowSeconds());
    log = await foldLog(log, [entry]);
    added.push(entry);
  }
  const late = await signEntry(log, { kind: 'router-pin', pins: ['E'.repeat(43)] }, stolen, nowSeconds());
  expect(codeOf(await giveBack([first, second, ...added, late]))).toBe('PAM_TRUST_ENTRY_INVALID');
  expect(await headNow()).toEqual(before);
});

test('too many entries, and too large ones, are refused before they are read', async () => {
  const [first = ''] = anna.entries().slice(before.n + 1);
  expect(codeOf(await giveBack(Array.from({ length: 129 }, () => first)))).toBe('PAM_BAD_REQUEST');
  expect(codeOf(await giveBack(Array.from({ length: 20 }, () => `a.b.${'c'.repeat(14_000)}`)))).toBe('PAM_BAD_REQUEST');
  expect(codeOf(await giveBack(Array.from({ length: 60 }, () => `a.b.${'c'.repeat(14_000)}`)))).toBe('PAM_TOO_LARGE');
  expect(codeOf(await giveBack([]))).toBe('PAM_BAD_REQUEST');
});

test('a stranger’s link may give back before a hello, once wrongly, and is told where the log ends', async () => {
  const instance = await scriptedInstance(router, anna, made.pool);
  const limit = { timeoutMs: 5_000 };
  await expect(instance.peer.call('log.read', { from: 0 }, limit)).rejects.toMatchObject({
    code: 'PAM_INSTANCE_REFUSED',
  });
  await expect(
    instance.peer.call('log.give-back', { entries: [`a.b.${'c'.repeat(20)}`] }, limit),
  ).rejects.toMatchObject({ code: 'PAM_TRUST_ENTRY_INVALID' });
  await expect(
    instance.peer.call('log.give-back', { entries: anna.entries().slice(before.n + 1) }, limit),
  ).rejects.toMatchObject({ code: 'PAM_RATE_LIMITED' });
  await instance.echo();
  await expect(instance.hello({ head: anna.log().head })).rejects.toMatchObject({
    code: 'PAM_TRUST_BEHIND',
    detail: { shown: before.n },
  });
  instance.close();
});

test('given-back entries are executed: who came under the replaced keys is cut', async () => {
  const old = await scriptedInstance(router, anna, made.pool);
  await old.echo();
  await old.hello({ head: before });
  const answer = await giveBack(anna.entries().slice(before.n + 1));
  expect(answer.body).toEqual({ head: anna.log().head });
  expect(await old.closed).toMatchObject({ reason: 'PAM_GATEWAY_REMOVED' });
  const again = await scriptedInstance(router, anna, made.pool);
  await expect(again.hello({ head: before })).rejects.toMatchObject({ code: 'PAM_INSTANCE_REFUSED' });
  again.close();
});

test('signed events come back from their device alone, in their order, and nothing is done', async () => {
  const end = await chainEnd();
  const [first = '', second = ''] = lostEvents;
  expect(codeOf(await giveEvents([first], other))).toBe('PAM_AUDIT_BROKEN');
  const stranger = await newSigningKey();
  expect(codeOf(await giveEvents([await signed(end, 'PUT /v1/items/x', stranger)]))).toBe('PAM_AUDIT_BROKEN');
  expect(codeOf(await giveEvents([second]))).toBe('PAM_AUDIT_SEQUENCE');
  expect(codeOf(await giveEvents([first, first]))).toBe('PAM_AUDIT_SEQUENCE');
  expect(codeOf(await giveEvents(Array.from({ length: 65 }, () => first)))).toBe('PAM_BAD_REQUEST');
  expect(await chainEnd()).toEqual(end);

  expect((await giveEvents(lostEvents)).body).toEqual({ seq: end.seq + 2, hash: await eventHash(second) });
  anna.forgetChain(end.seq + 2, await eventHash(second));
  const events = await newestOf('event.given-back');
  expect(events.map(({ kind, actorEvent }) => [kind, actorEvent])).toEqual([
    ['event.given-back', second],
    ['event.given-back', first],
  ]);
  expect(JSON.parse(events[0]?.body ?? '')).toMatchObject({ device: anna.device.id, act: 'PUT /v1/items/two' });
});

test('older facts take the place of lost ones above what was seen, by who may edit them', async () => {
  const { machine } = made;
  const item = await anna.item(made.keys, 'pamMachine', {
    ...{ uid: machine.uid, rev: 4, mirror: machine.mirror },
    facts: { title: 'machine', host: 'h', port: 22, configuration: made.config.uid },
  });
  const path = `/v1/items/${machine.uid}/accept-older`;
  const given = (seen: number, shown = 1, what: object = { item }) => ({
    parts: [{ part: 'facts', seen, shown }],
    ...what,
  });
  const ask = (body: object) => anna.call('POST', path, body, true);
  expect(codeOf(await ask(given(3, 2)))).toBe('PAM_CONFLICT');
  expect(codeOf(await ask(given(2)))).toBe('PAM_CONFLICT');
  expect(codeOf(await ask(given(2_000)))).toBe('PAM_BAD_REQUEST');
  expect(codeOf(await ask(given(3, 1, {})))).toBe('PAM_BAD_REQUEST');
  const elsewhere = { item: { ...item, uid: made.config.uid } };
  expect(codeOf(await ask(given(3, 1, elsewhere)))).toBe('PAM_BAD_REQUEST');
  const taken = await ask(given(3));
  expect((taken.body as { item: Item }).item.parts.facts?.rev).toBe(4);
  const events = await newestOf('item.older-accepted');
  expect(JSON.parse(events[0]?.body ?? '')).toMatchObject({ item: machine.uid, parts: ['facts 3 -> 1'] });
});

interface Restore {
  readonly closed: boolean;
  readonly incarnation: number;
  readonly lastStart: number;
  readonly ends: readonly unknown[];
  readonly withoutSettings: readonly string[];
}

test('reopening holds where both logs end, and is good once', async () => {
  const { restore: told, head } = await anna.must<{ restore: Restore; head: Head }>('GET', '/v1/restore');
  expect(told).toMatchObject({ closed: true, incarnation: 2, before });
  // The gateway made after the backup has no settings here, the other one no wraps for its new keys.
  expect(told.withoutSettings).toHaveLength(2);
  const asked = {
    incarnation: told.incarnation,
    head,
    lastStart: told.lastStart,
    ends: await digestOf(told.ends),
  };
  const ask = (change: object) => anna.call('POST', '/v1/restore/reopen', { ...asked, ...change }, true);
  expect(codeOf(await ask({ head: before }))).toBe('PAM_TRUST_LOG_MOVED');
  expect(codeOf(await ask({ ends: await digestOf([]) }))).toBe('PAM_CONFLICT');
  expect(codeOf(await ask({ incarnation: 1 }))).toBe('PAM_CONFLICT');
  expect(codeOf(await ask({ lastStart: told.lastStart + 1 }))).toBe('PAM_CONFLICT');
  expect((await ask({})).body).toEqual({ head });
  expect(codeOf(await ask({}))).toBe('PAM_CONFLICT');
  const pin = await anna.entry({ kind: 'router-pin', pins: [router.pin] });
  await anna.must('POST', '/v1/log', { entry: pin });
  await anna.took(pin);
  await router.stop();
  await start(router.port);
  expect((await anna.must<{ restore: Restore }>('GET', '/v1/restore')).restore.closed).toBe(false);
});

test('what the replaced store had more of the log is taken before the door opens', async () => {
  const known = anna.log().head;
  await restore({ keepOld: true });
  expect(await headNow()).toEqual(known);
  const { restore: told } = await anna.must<{ restore: Restore }>('GET', '/v1/restore');
  expect(told).toMatchObject({ closed: true, incarnation: 3, before });
});
