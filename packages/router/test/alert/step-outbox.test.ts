import { type AlertMessage, alertMessageSchema } from '@sallyport/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mostWaiting, newOutbox, type Outbox, type OutboxEffect, stepOutbox } from '../../src/alert/step-outbox.ts';

let made = 0;
function message(key: string, status: AlertMessage['status'] = 'firing'): AlertMessage {
  const at = '2026-01-01T00:00:00.000Z';
  return alertMessageSchema.parse({
    ...{ v: 1, event: 'alert', status, key, kind: 'gateway-offline', severity: 'critical', router: 'A'.repeat(43) },
    ...{ delivery: `00000000-0000-4000-8000-${String((made += 1)).padStart(12, '0')}`, gateway: null, instance: null },
    ...{ summary: '', detail: {}, since: at, firedAt: at, resolvedAt: null, resolution: null },
  });
}

type Act = 'add' | 'deliver' | 'fail' | 'wait';
const acts = fc.array(
  fc.record({
    act: fc.constantFrom<Act>('add', 'deliver', 'fail', 'wait'),
    key: fc.constantFrom('a', 'b', 'c', 'd'),
    status: fc.constantFrom<AlertMessage['status']>('firing', 'still-firing', 'resolved'),
    ms: fc.integer({ min: 0, max: 400_000 }),
    random: fc.double({ min: 0, max: 0.999, noNaN: true }),
  }),
  { maxLength: 200 },
);

test('one request is out at most, one message waits for each alert, and the newest word of each is what arrives last', () => {
  fc.assert(
    fc.property(acts, (list) => {
      let box: Outbox = newOutbox();
      let nowMs = 0;
      let out: AlertMessage | null = null;
      const newest = new Map<string, string>();
      const arrived = new Map<string, string>();
      const perform = (effects: readonly OutboxEffect[]): void => {
        for (const effect of effects) {
          if (effect.kind !== 'post') continue;
          expect(out).toBeNull();
          out = effect.message;
        }
      };
      const feed = (event: Parameters<typeof stepOutbox>[1], random = 0): void => {
        const step = stepOutbox(box, event, { nowMs, random });
        box = step.box;
        perform(step.effects);
      };
      const deliver = (): void => {
        if (out === null) return;
        arrived.set(out.key, out.delivery);
        out = null;
        feed({ kind: 'delivered' });
      };
      for (const { act, key, status, ms, random } of list) {
        nowMs += ms;
        if (act === 'add') {
          const added = message(key, status);
          newest.set(key, added.delivery);
          feed({ kind: 'add', message: added });
        } else if (act === 'deliver') deliver();
        else if (act === 'fail' && out !== null) {
          out = null;
          feed({ kind: 'failed', retryAfterMs: null }, random);
        } else feed({ kind: 'tick' });
        const waiting = box.waiting.filter(({ delivery }) => delivery !== box.out).map((each) => each.key);
        expect(new Set(waiting).size).toBe(waiting.length);
      }
      for (let i = 0; i < 20; i += 1) {
        nowMs += 300_000;
        feed({ kind: 'tick' });
        deliver();
      }
      expect(box.waiting).toEqual([]);
      expect(arrived).toEqual(newest);
    }),
  );
});

test('after failures nothing is sent before a jittered pause that doubles, is never over 5 minutes, and ends with a success', () => {
  let { box, effects } = stepOutbox(newOutbox(), { kind: 'add', message: message('a') }, { nowMs: 0, random: 0 });
  expect(effects).toHaveLength(1);
  const pauses: number[] = [];
  for (let i = 0; i < 12; i += 1) {
    ({ box } = stepOutbox(box, { kind: 'failed', retryAfterMs: null }, { nowMs: 0, random: 0.5 }));
    pauses.push(box.notBeforeMs);
    ({ effects } = stepOutbox(box, { kind: 'tick' }, { nowMs: box.notBeforeMs - 1, random: 0 }));
    expect(effects).toEqual([]);
    ({ box, effects } = stepOutbox(box, { kind: 'tick' }, { nowMs: box.notBeforeMs, random: 0 }));
    expect(effects).toMatchObject([{ kind: 'post', attempt: i + 2 }]);
  }
  expect(pauses.slice(0, 4)).toEqual([500, 1_000, 2_000, 4_000]);
  expect(Math.max(...pauses)).toBe(150_000);
  ({ box } = stepOutbox(box, { kind: 'delivered' }, { nowMs: 0, random: 0 }));
  expect(box).toEqual(newOutbox());
});

test('an endpoint may ask for a longer pause, but for no more than 5 minutes', () => {
  const { box } = stepOutbox(newOutbox(), { kind: 'add', message: message('a') }, { nowMs: 0, random: 0 });
  const asked = (retryAfterMs: number): number =>
    stepOutbox(box, { kind: 'failed', retryAfterMs }, { nowMs: 0, random: 0 }).box.notBeforeMs;
  expect([asked(30_000), asked(86_400_000)]).toEqual([30_000, 300_000]);
});

test('what nobody heard of does not fire "still": the first word that arrives is firing', () => {
  let { box } = stepOutbox(newOutbox(), { kind: 'add', message: message('x') }, { nowMs: 0, random: 0 });
  for (const status of ['firing', 'still-firing'] as const) {
    ({ box } = stepOutbox(box, { kind: 'add', message: message('a', status) }, { nowMs: 0, random: 0 }));
  }
  expect(box.waiting.filter(({ key }) => key === 'a')).toMatchObject([{ status: 'firing' }]);
});

test('however many alerts there are, what waits is bounded, and what is dropped is told', () => {
  let box = newOutbox();
  let dropped = 0;
  for (let i = 0; i < mostWaiting + 20; i += 1) {
    const step = stepOutbox(box, { kind: 'add', message: message(`k${i}`) }, { nowMs: 0, random: 0 });
    box = step.box;
    dropped += step.effects.filter(({ kind }) => kind === 'dropped').length;
  }
  expect([box.waiting.length, dropped]).toEqual([mostWaiting, 20]);
});
