import type { AuditChainEnd, AuditEvent } from '@sallyport/protocol';
import { digestOf, eventHash, newSigningKey, type SigningKey, signEvent } from '@sallyport/seal';
import { honestInstallation } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import type { Memory } from '../profile/memory.ts';
import { lostAuditEvents } from './reopening.ts';
import { auditHash, beginAudit, endAudit, nextAuditEvent } from './verify-audit.ts';

const honest = await honestInstallation(1_790_000_000);
const router = 'r'.repeat(43);
const lastStart = 20;

/** Events of one start, each following the one before. */
function startOf(start: number, rows: readonly Partial<AuditEvent>[]): AuditEvent[] {
  const made: AuditEvent[] = [];
  for (const row of rows) {
    const [seq, prev] = [made.length + 1, made.at(-1)?.hash ?? ''];
    const event = { router, start, seq, prev, hash: '', atMs: seq, kind: 'k', body: '{}', actorEvent: null, ...row };
    made.push({ ...event, hash: auditHash(event) });
  }
  return made;
}
const endOf = (events: readonly AuditEvent[]): AuditChainEnd => {
  const last = events.at(-1) as AuditEvent;
  return [last.start, last.seq, last.hash];
};
const rememberedAs = (...events: readonly AuditEvent[]): Memory['auditHeads'] =>
  Object.fromEntries(events.map(({ start, seq, hash }) => [String(start), { seq, hash, jws: 'a.b.c' }]));

interface Word {
  readonly ends: readonly AuditChainEnd[];
  readonly device?: SigningKey;
  readonly act?: string;
  /** What the router says instead of what was signed. */
  readonly shown?: Partial<{ lastStart: number; ends: string; device: string }>;
}
/** The row of a reopening, signed by a device. */
async function reopened({ ends, device = honest.device, act = 'POST /v1/restore/reopen', shown = {} }: Word) {
  const head = { n: 3, hash: 'h'.repeat(43) };
  const signed = { incarnation: 2, head, lastStart, ends: await digestOf(ends) };
  const event = { actor: device.id, seq: 1, prev: '', at: 1, act, on: [], digest: await digestOf(signed) };
  const body = { device: device.id, incarnation: 2, lastStart, ends: signed.ends, headN: 3, headHash: head.hash };
  const text = await signEvent(event, device);
  return { kind: 'trust.reopened', body: JSON.stringify({ ...body, ...shown }), actorEvent: text };
}

async function verify(events: readonly AuditEvent[], remembered: Memory['auditHeads']) {
  let state = beginAudit([], remembered);
  for (const event of events) state = await nextAuditEvent(state, event, honest.log);
  return { ...state, lost: await endAudit(state) };
}

// Start 10 had five events of which two are left; start 20 is gone; start 30 is after the restore.
const full = startOf(10, [{}, {}, {}, {}, {}]);
const left = full.slice(0, 2);
const gone = startOf(20, [{}, {}, {}]);
const seen = rememberedAs(full[4] as AuditEvent, gone[2] as AuditEvent);

test('what a restore lost is named once a person with the right reopened it, and broken before', async () => {
  const word = await reopened({ ends: [endOf(left)] });
  expect(await verify([...left, ...startOf(30, [{}, word])], seen)).toMatchObject({
    lost: [
      { start: 10, left: 2, seen: 5 },
      { start: 20, left: 0, seen: 3 },
    ],
    reopenings: [{ device: honest.device.id, lastStart }],
  });
  const cutOff = expect.objectContaining({ code: 'PAM_AUDIT_BROKEN', message: expect.stringContaining('cut off') });
  await expect(verify([...left, ...startOf(30, [{}, {}])], seen)).rejects.toThrow(cutOff);
});

test.each<[string, () => Promise<Word>]>([
  ['a device without a place in the log', async () => ({ ends: [endOf(left)], device: await newSigningKey() })],
  ['another act of a device', async () => ({ ends: [endOf(left)], act: 'PUT /v1/items/x' })],
  ['another boundary than was signed', async () => ({ ends: [endOf(left)], shown: { lastStart: 99 } })],
  ['the name of another device', async () => ({ ends: [endOf(left)], shown: { device: 'd'.repeat(43) } })],
])('the word of %s covers nothing', async (_name, word) => {
  const events = [...left, ...startOf(30, [{}, await reopened(await word())])];
  await expect(verify(events, seen)).rejects.toMatchObject({ code: 'PAM_AUDIT_BROKEN' });
});

test('nothing more is cut under its cover: not before the restore, and not after it', async () => {
  const word = await reopened({ ends: [endOf(left)] });
  const after = startOf(30, [{}, word, {}, {}]);
  await expect(verify([...left.slice(0, 1), ...after], seen)).rejects.toThrow(/do not end where it signed/);
  const sawMore = { ...seen, ...rememberedAs(after[3] as AuditEvent) };
  await expect(verify([...left, ...after.slice(0, 3)], sawMore)).rejects.toThrow(/cut off/);
});

test('events that were given back are counted as such, in the chain of their device', async () => {
  const first = await signEvent(
    { actor: honest.device.id, seq: 1, prev: '', at: 1, act: 'PUT /x', on: [], digest: await digestOf({}) },
    honest.device,
  );
  const prev = await eventHash(first);
  const second = await signEvent(
    { actor: honest.device.id, seq: 2, prev, at: 2, act: 'PUT /y', on: [], digest: await digestOf({}) },
    honest.device,
  );
  const events = startOf(10, [{ actorEvent: first }, { kind: 'event.given-back', actorEvent: second }]);
  expect(await verify(events, {})).toMatchObject({ events: 2, signed: 2, givenBack: 1, lost: [] });
});

test('a person who reopens is shown what this device saw and the router lost', () => {
  expect(lostAuditEvents(seen, lastStart, [endOf(left)])).toEqual([
    { start: 10, left: 2, seen: 5 },
    { start: 20, left: 0, seen: 3 },
  ]);
  expect(lostAuditEvents(seen, 10, [endOf(full)])).toEqual([]);
});
