import { digestOf, eventHash, newSigningKey, signEvent } from '@sallyport/seal';
import { expect, test } from 'vitest';
import { keptEventsBytes, missingEvents, trimmedLines } from './kept-events.ts';

const device = await newSigningKey();
interface Signed {
  readonly text: string;
  readonly seq: number;
  readonly hash: string;
}
async function sign(after: { readonly seq: number; readonly hash: string }, act: string): Promise<Signed> {
  const event = {
    actor: device.id,
    seq: after.seq + 1,
    prev: after.hash,
    at: 1,
    act,
    on: [],
    digest: await digestOf({}),
  };
  const text = await signEvent(event, device);
  return { text, seq: event.seq, hash: await eventHash(text) };
}
const none = { seq: 0, hash: '' };
const chain: Signed[] = [];
for (let n = 0; n < 6; n++) chain.push(await sign(chain.at(-1) ?? none, `PUT /x/${n}`));
const at = (seq: number): Signed => chain[seq - 1] as Signed;
const texts = chain.map(({ text }) => text);

test('what the router lost is found by its hashes, whatever else was signed or torn in between', async () => {
  const refused = await sign(at(3), 'PUT /refused');
  const lines = ['torn-li', ...texts.slice(0, 4), refused.text, 'a.b.c', ...texts.slice(4)];
  expect(missingEvents(lines, at(2), at(6))).toEqual({ kind: 'events', events: texts.slice(2) });
  expect(missingEvents(lines.toReversed(), none, at(6))).toEqual({ kind: 'events', events: texts });
  expect(missingEvents(lines, at(6), at(6))).toEqual({ kind: 'events', events: [] });
});

test('an event that was signed and never acknowledged is not among them', async () => {
  const pending = await sign(at(5), 'PUT /pending');
  expect(missingEvents([...texts.slice(0, 5), pending.text], at(3), at(5))).toEqual({
    kind: 'events',
    events: texts.slice(3, 5),
  });
});

test('one that is not kept any more is a gap, and another history is a fork', async () => {
  expect(missingEvents(texts.slice(3), at(2), at(6))).toEqual({ kind: 'gap' });
  expect(missingEvents([], at(2), at(6))).toEqual({ kind: 'gap' });
  const other = await sign(at(1), 'PUT /other');
  expect(missingEvents(texts, other, at(6))).toEqual({ kind: 'fork' });
});

test('over the limit the oldest lines go, whole ones', () => {
  const line = 'x'.repeat(1_000);
  const many = Array.from({ length: 5_000 }, (_, n) => `${n}${line}\n`).join('');
  expect(trimmedLines('a\nb\n')).toBe('a\nb\n');
  const left = trimmedLines(many);
  expect(left.length).toBeLessThanOrEqual(keptEventsBytes.afterTrim);
  expect(left.length).toBeGreaterThan(keptEventsBytes.afterTrim - 2_000);
  expect(many.endsWith(`\n${left}`)).toBe(true);
  expect(trimmedLines('x'.repeat(keptEventsBytes.most + 1))).toBe('');
});
