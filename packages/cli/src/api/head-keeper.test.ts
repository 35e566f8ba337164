import { PamError } from '@sallyport/protocol';
import { newSigningKey, pinOfKey, signHead } from '@sallyport/seal';
import { createFakeClock, settle } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import { newMemory, newsIn, type Sighting, withNews } from '../profile/memory.ts';
import { keepHeads } from './head-keeper.ts';
import { auditHeadHeader } from './heads.ts';

const key = await newSigningKey();
const pin = await pinOfKey(key.publicJwk);
const headers = async (seq: number, start = 1) => ({
  [auditHeadHeader]: await signHead({ router: pin, start, seq, hash: 'a'.repeat(43), at: 1 }, key),
});

/** A profile whose writes are counted, can be held back and can fail. */
function fakeProfile() {
  let memory = newMemory();
  const profile = {
    writes: 0,
    full: false,
    seq: (start = 1) => memory.auditHeads[String(start)]?.seq,
    readMemory: async () => memory,
    remember: async (seen: Sighting) => {
      profile.writes += 1;
      await settle();
      if (profile.full) throw new PamError('PAM_CONFIG_INVALID', 'memory.json: ENOSPC');
      memory = withNews(memory, newsIn(memory, seen) ?? {});
      return memory;
    },
  };
  return profile;
}

async function open() {
  const [store, clock] = [fakeProfile(), createFakeClock()];
  const keeper = await keepHeads({ store, pins: [pin], clock });
  const see = async (seq: number, start?: number) => keeper.watch()(await headers(seq, start));
  return { store, clock, keeper, see };
}

test('a reply is taken when its head is in the profile', async () => {
  const { store, see } = await open();
  await see(4);
  expect(store.seq()).toBe(4);
  await Promise.all([see(5), see(7), see(6)]);
  expect(store.seq()).toBe(7);
});

test('written behind, a hundred heads are one write within a second, and each is compared at once', async () => {
  const { store, clock, keeper, see } = await open();
  keeper.writeBehind();
  for (let seq = 1; seq <= 100; seq += 1) await see(seq);
  expect(store.writes).toBe(0);
  await expect(see(99)).rejects.toThrow(expect.objectContaining({ code: 'PAM_AUDIT_BROKEN' }));
  await expect(see(500, 0)).rejects.toThrow(expect.objectContaining({ code: 'PAM_AUDIT_BROKEN' }));
  await clock.advance(1_000);
  await settle();
  expect([store.writes, store.seq(), clock.pending()]).toEqual([1, 100, 0]);
});

test('flush leaves nothing unwritten and no timer', async () => {
  const { store, clock, keeper, see } = await open();
  keeper.writeBehind();
  await see(3);
  await see(1, 2);
  await keeper.flush();
  expect([store.seq(), store.seq(2), clock.pending()]).toEqual([3, 1, 0]);
});

test('a head that comes while the profile is being written is written after it', async () => {
  const { store, keeper, see } = await open();
  keeper.writeBehind();
  await see(1);
  const flushed = keeper.flush();
  await see(2);
  await flushed;
  await keeper.flush();
  expect(store.seq()).toBe(2);
});

test('a full disk is an error of the next reply and of flush, and nothing seen is forgotten', async () => {
  const { store, clock, keeper, see } = await open();
  keeper.writeBehind();
  store.full = true;
  await see(1);
  await clock.advance(1_000);
  await settle();
  await expect(see(2)).rejects.toThrow(expect.objectContaining({ code: 'PAM_CONFIG_INVALID' }));
  await expect(keeper.flush()).rejects.toThrow(expect.objectContaining({ code: 'PAM_CONFIG_INVALID' }));
  await expect(see(1)).rejects.toThrow(expect.objectContaining({ code: 'PAM_AUDIT_BROKEN' }));
  store.full = false;
  await keeper.flush();
  expect(store.seq()).toBe(2);
});

test('heads a caller gathers are compared at once and written by him', async () => {
  const { store, keeper, see } = await open();
  const gathered: Sighting[] = [];
  await keeper.watch(gathered)(await headers(6));
  expect([store.writes, gathered.map((seen) => seen.auditHeads?.['1']?.seq)]).toEqual([0, [6]]);
  await expect(see(5)).rejects.toThrow(expect.objectContaining({ code: 'PAM_AUDIT_BROKEN' }));
});
