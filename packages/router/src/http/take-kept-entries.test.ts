import { PamError } from '@sallyport/protocol';
import { honestInstallation } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import { takeKeptEntries } from './take-kept-entries.ts';

const { entries, log } = await honestInstallation(1_800_000_000);

/** The store's one setting, and a desk that takes entries or refuses them. */
function start(text: string | null, refusal: PamError | null = null) {
  const [taken, told]: [string[], string[]] = [[], []];
  let stored = text;
  const store = {
    readSetting: async () => stored,
    writeSetting: async ({ value }: { readonly value: string }) => {
      stored = value;
    },
  };
  const desk = {
    giveBack: async (given: readonly string[]) => {
      if (refusal !== null) throw refusal;
      taken.push(...given);
      return log.head;
    },
  };
  const run = (head: number) => takeKeptEntries(store, desk, head, (message) => told.push(message));
  return { run, taken, told, stored: () => stored };
}

test('what was kept is taken once, also when an earlier start took some of it and was killed', async () => {
  const one = start(JSON.stringify(entries.slice(2)));
  await one.run(3);
  expect([one.taken, one.stored()]).toEqual([entries.slice(4), '']);
  await one.run(3);
  expect(one.taken).toEqual(entries.slice(4));
});

test('a log that is another one is told and left; a store that fails is an error, and nothing is lost', async () => {
  const kept = JSON.stringify(entries.slice(2));
  const forked = start(kept, new PamError('PAM_TRUST_FORKED', 'no'));
  await forked.run(1);
  expect([forked.told.length, forked.stored()]).toEqual([1, '']);
  const away = start(kept, new PamError('PAM_STORE_AWAY', 'no'));
  await expect(away.run(1)).rejects.toMatchObject({ code: 'PAM_STORE_AWAY' });
  expect(away.stored()).toBe(kept);
  await expect(start('{').run(1)).rejects.toMatchObject({ code: 'PAM_STORE_DAMAGED' });
});
