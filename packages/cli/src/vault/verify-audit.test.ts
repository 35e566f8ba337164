import type { AuditEvent } from '@sallyport/protocol';
import { digestOf, eventHash, type SigningKey, signEvent } from '@sallyport/seal';
import { type HonestInstallation, honestInstallation } from '@sallyport/testkit';
import { beforeAll, expect, test } from 'vitest';
import { auditHash, beginAudit, endAudit, nextAuditEvent } from './verify-audit.ts';

let installation: HonestInstallation;
let events: readonly AuditEvent[];
const router = 'r'.repeat(43);
const head = (event: AuditEvent) => ({ router, start: event.start, seq: event.seq, hash: event.hash, at: 1 });

async function chain(device: SigningKey): Promise<readonly AuditEvent[]> {
  const made: AuditEvent[] = [];
  let actor = { seq: 0, hash: '' };
  for (const start of [1, 2]) {
    let prev = '';
    for (let seq = 1; seq <= 4; seq++) {
      let actorEvent: string | null = null;
      if (seq % 2 === 0) {
        const body = {
          actor: device.id,
          seq: actor.seq + 1,
          prev: actor.hash,
          at: 1,
          act: 'PUT /x',
          on: [],
          digest: await digestOf({}),
        };
        actorEvent = await signEvent(body, device);
        actor = { seq: actor.seq + 1, hash: await eventHash(actorEvent) };
      }
      const event = { router, start, seq, prev, hash: '', atMs: seq, kind: 'k', body: '{}', actorEvent };
      made.push({ ...event, hash: auditHash(event) });
      prev = made.at(-1)?.hash ?? '';
    }
  }
  return made;
}

beforeAll(async () => {
  installation = await honestInstallation(1_790_000_000);
  events = await chain(installation.device);
});

async function verify(
  list: readonly AuditEvent[],
  remembered: readonly AuditEvent[] = [],
  heads: readonly AuditEvent[] = [],
) {
  const memory = Object.fromEntries(
    remembered.map((event) => [String(event.start), { seq: event.seq, hash: event.hash, jws: 'a.b.c' }]),
  );
  let state = beginAudit(heads.map(head), memory);
  for (const event of list) state = await nextAuditEvent(state, event, installation.log);
  return { ...state, lost: await endAudit(state) };
}
const broken = (text: string) =>
  expect.objectContaining({ code: 'PAM_AUDIT_BROKEN', message: expect.stringContaining(text) });
const at = (n: number): AuditEvent => events[n] as AuditEvent;
const rehashed = (event: AuditEvent): AuditEvent => ({ ...event, hash: auditHash(event) });

test('an honest log verifies, with heads that were remembered and signed', async () => {
  expect(await verify(events, [at(2), at(7)], [at(3), at(7)])).toMatchObject({ events: 8, signed: 4 });
});

test.each([
  ['the last row deleted', () => verify(events.slice(0, -1), [at(7)]), 'was cut off'],
  ['the last row deleted, against the signed head', () => verify(events.slice(0, -1), [], [at(7)]), 'was cut off'],
  ['a row deleted', () => verify([at(0), ...events.slice(2)]), 'is missing'],
  ['two rows swapped', () => verify([at(1), at(0), ...events.slice(2)]), 'is missing'],
  ['a body changed', () => verify([{ ...at(0), body: '{"a":1}' }, ...events.slice(1)]), 'was changed'],
  [
    'a body changed and hashed anew',
    () => verify([rehashed({ ...at(0), body: '{"a":1}' }), ...events.slice(1)]),
    'does not follow',
  ],
  [
    'the last body changed and hashed anew',
    () => verify([...events.slice(0, -1), rehashed({ ...at(7), body: '{"a":1}' })], [at(7)]),
    'not the one',
  ],
  ['a start deleted', () => verify(events.slice(4)), 'chain of actor'],
  ['starts in the wrong order', () => verify([...events.slice(4), ...events.slice(0, 4)]), ''],
  [
    'a head that contradicts what is remembered',
    () => verify(events, [at(7)], [{ ...at(7), hash: at(1).hash }]),
    'signed another event',
  ],
  [
    'the signature of an actor taken out',
    () => verify([at(0), rehashed({ ...at(1), actorEvent: null }), ...events.slice(2)]),
    'does not follow',
  ],
])('%s is reported', async (_, run, text) => {
  await expect(run()).rejects.toThrow(broken(text));
});
