import { type Head, PamError } from '@sallyport/protocol';
import { digestOf, eventHash, foldLog, createLog, newSigningKey, signEntry, signEvent } from '@sallyport/seal';
import { createFakeClock, honestInstallation } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import { giveEventsBack, nextEvents } from './give-back-events.ts';
import { createLogGiver } from './give-back-log.ts';
import type { RouterClient } from './router-client.ts';

const honest = await honestInstallation(1_800_000_000);
const known = honest.log.head;
const headAt = (n: number): Head => ({ n, hash: honest.log.hashes[n] ?? '' });

/** A router that answers calls as the test says. */
function scripted(answer: (body: { entries?: string[]; events?: string[] }) => unknown) {
  const calls: { entries?: string[]; events?: string[] }[] = [];
  const call = async (_route: unknown, input: { body: { entries?: string[]; events?: string[] } }) => {
    calls.push(input.body);
    return answer(input.body);
  };
  return { calls, client: { call } as unknown as RouterClient };
}

function giver(answer: (body: { entries?: string[] }) => unknown, entries = honest.entries) {
  const { calls, client } = scripted(answer);
  const [clock, told]: [ReturnType<typeof createFakeClock>, string[]] = [createFakeClock(), []];
  const made = createLogGiver({
    client: () => client,
    store: { readLog: async () => entries },
    anchor: honest.anchor,
    clock,
    tell: (text) => told.push(text),
  });
  return { calls, clock, told, giver: made };
}

test('a router that lost entries gets them, and the user one line', async () => {
  const one = giver(() => ({ head: known }));
  await one.giver.giveBack(headAt(known.n - 2), known, one.giver.times());
  expect(one.calls).toEqual([{ entries: honest.entries.slice(-2) }]);
  expect(one.told).toEqual([
    `The router had lost entries ${known.n - 1} to ${known.n} of the trust log; this device gave back what was missing.\n`,
  ]);
});

test('a router that rolled back by itself asks again and again: it is given once in ten minutes, and refused meanwhile', async () => {
  const one = giver(() => ({ head: known }));
  await one.giver.giveBack(headAt(1), known, one.giver.times());
  // Asked before it was given back: older by right. Asked after it: a lie.
  await one.giver.giveBack(headAt(1), known, 0);
  for (let n = 0; n < 5; n++) {
    await expect(one.giver.giveBack(headAt(1), known, one.giver.times())).rejects.toMatchObject({
      code: 'PAM_TRUST_SHORTENED',
    });
  }
  expect(one.calls).toHaveLength(1);
  await one.clock.advance(600_000);
  await one.giver.giveBack(headAt(1), known, one.giver.times());
  expect(one.calls).toHaveLength(2);
});

test('replies that come at once share one giving back', async () => {
  const one = giver(() => ({ head: known }));
  await Promise.all([1, 2, 3].map(async () => one.giver.giveBack(headAt(1), known, 0)));
  expect(one.calls).toHaveLength(1);
});

test('a shorter log that is another one gets nothing', async () => {
  const one = giver(() => ({ head: known }));
  const before = await foldLog(createLog(honest.anchor), honest.entries.slice(0, 3));
  const fork = await signEntry(before, { kind: 'router-pin', pins: ['B'.repeat(43)] }, honest.device, 1_800_000_001);
  const forked = await foldLog(before, [fork]);
  await expect(one.giver.giveBack(forked.head, known, 0)).rejects.toMatchObject({ code: 'PAM_TRUST_FORKED' });
  expect(one.calls).toEqual([]);
});

test('an older router, and a profile that kept no entries, are what they were: a log that was shortened', async () => {
  const old = giver(() => {
    throw new PamError('PAM_NOT_FOUND', 'there is no route POST /v1/log/given-back');
  });
  await expect(old.giver.giveBack(headAt(1), known, 0)).rejects.toMatchObject({ code: 'PAM_TRUST_SHORTENED' });
  const empty = giver(() => ({ head: known }), []);
  await expect(empty.giver.giveBack(headAt(1), known, 0)).rejects.toMatchObject({ code: 'PAM_TRUST_SHORTENED' });
  expect(empty.calls).toEqual([]);
});

const device = await newSigningKey();
const ends: { seq: number; hash: string }[] = [{ seq: 0, hash: '' }];
const events: string[] = [];
for (let seq = 1; seq <= 150; seq++) {
  const event = { actor: device.id, seq, prev: ends.at(-1)?.hash ?? '', at: 1, act: 'PUT /x', on: [] };
  const text = await signEvent({ ...event, digest: await digestOf({}) }, device);
  events.push(text);
  ends.push({ seq, hash: await eventHash(text) });
}
const end = (seq: number) => ends[seq] as { seq: number; hash: string };

test('events go in order, 64 a call at most, and each answer must be the end of what was given', async () => {
  const { calls, client } = scripted(({ events: given = [] }) => {
    const last = events.indexOf(given.at(-1) ?? '') + 1;
    return end(last);
  });
  expect(await giveEventsBack(client, events, end(10), end(150))).toBe(140);
  expect(calls.map(({ events: given = [] }) => given.length)).toEqual([64, 64, 12]);
  expect(calls.flatMap(({ events: given = [] }) => given)).toEqual(events.slice(10));
  expect(nextEvents(['x'.repeat(300_000), 'y'], 0)).toHaveLength(1);
});

test.each<[string, { seq: number; hash: string }]>([
  ['less than it took', end(20)],
  ['more than it took', end(90)],
  ['another event of the number', { seq: 74, hash: 'z'.repeat(43) }],
])('a router that answers with %s is refused after one call', async (_name, answer) => {
  const { calls, client } = scripted(() => answer);
  await expect(giveEventsBack(client, events, end(10), end(150))).rejects.toMatchObject({
    code: 'PAM_AUDIT_BROKEN',
    detail: { why: 'given-back' },
  });
  expect(calls).toHaveLength(1);
});

test('a chain end that contradicts ours, and events that are not kept any more, are told and nothing is given', async () => {
  const { calls, client } = scripted(() => end(150));
  const contradiction = { seq: 10, hash: end(9).hash };
  await expect(giveEventsBack(client, events, contradiction, end(150))).rejects.toMatchObject({
    code: 'PAM_AUDIT_BROKEN',
    detail: { why: 'fork' },
  });
  await expect(giveEventsBack(client, events.slice(50), end(10), end(150))).rejects.toMatchObject({
    code: 'PAM_AUDIT_BROKEN',
    detail: { why: 'gap' },
    remedy: expect.stringContaining('pam login --profile'),
  });
  expect(calls).toEqual([]);
});
