import { giveBackLimits, type Head, PamError } from '@sallyport/protocol';
import { honestInstallation } from '@sallyport/testkit';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { giveBackEntries, mayGiveBack, nextEntries } from './give-back.ts';

const { entries, log } = await honestInstallation(1_800_000_000);
const last = log.head.n;
const headAt = (n: number): Head => ({ n, hash: log.hashes[n] ?? '' });

test('calls cover every entry once, in order, and none is over its bounds', () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 16_384 }), { maxLength: 400 });
  fc.assert(
    fc.property(lengths, fc.integer({ min: -1, max: 400 }), (sizes, from) => {
      const texts = sizes.map((size, n) => `${n}`.padEnd(size, 'x'));
      const given: string[] = [];
      for (let at = from; at < texts.length - 1; ) {
        const batch = nextEntries(texts, at);
        expect(batch.length).toBeGreaterThan(0);
        expect(batch.length).toBeLessThanOrEqual(giveBackLimits.entries);
        expect(batch.join('').length).toBeLessThanOrEqual(giveBackLimits.chars);
        given.push(...batch);
        at += batch.length;
      }
      expect(given).toEqual(texts.slice(from + 1));
    }),
  );
});

test('a router that takes one entry a call is given all of them', async () => {
  const taken: string[] = [];
  const reached = await giveBackEntries(log, entries, 1, async ([first = '']) => {
    taken.push(first);
    return headAt(1 + taken.length);
  });
  expect([reached, taken]).toEqual([last, entries.slice(2)]);
});

test('a router that takes entries and still shows less is told once, and no loop begins', async () => {
  let calls = 0;
  const send = async (): Promise<Head> => {
    calls += 1;
    return headAt(1);
  };
  await expect(giveBackEntries(log, entries, 1, send)).rejects.toMatchObject({
    code: 'PAM_TRUST_SHORTENED',
    detail: { why: 'given-back', shown: 1, known: last },
  });
  expect(calls).toBe(1);
});

test('a router that ends at another entry of the number is a fork', async () => {
  const other = async (): Promise<Head> => ({ n: 2, hash: 'x'.repeat(43) });
  await expect(giveBackEntries(log, entries, 1, other)).rejects.toMatchObject({ code: 'PAM_TRUST_FORKED' });
  const moved = async (): Promise<Head> => {
    throw new PamError('PAM_TRUST_LOG_MOVED', 'no', { detail: { head: 1, entry: 2 } });
  };
  await expect(giveBackEntries(log, entries, 1, moved)).rejects.toMatchObject({ code: 'PAM_TRUST_FORKED' });
});

test('somebody who is faster is followed, and one who knows more ends it', async () => {
  const asked: number[] = [];
  const reached = await giveBackEntries(log, entries, 1, async (batch) => {
    asked.push(batch.length);
    if (asked.length === 1) throw new PamError('PAM_TRUST_LOG_MOVED', 'no', { detail: { head: 3, entry: 2 } });
    return { n: last + 2, hash: 'y'.repeat(43) };
  });
  expect([reached, asked]).toEqual([last + 2, [last - 1, last - 3]]);
});

test('who gave back waits ten minutes before it does so again', () => {
  expect([mayGiveBack(null, 5), mayGiveBack(5, 600_004), mayGiveBack(5, 600_005)]).toEqual([true, false, true]);
});
