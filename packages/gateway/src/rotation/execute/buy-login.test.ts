import { PamError } from '@sallyport/protocol';
import { decideLogin, type LoginRow, probeBudget, staysTaken } from '@sallyport/rotation';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createLoginBudget, type LoginTry } from './buy-login.ts';
import { isStoreAway } from './job-store.ts';

type Said = Parameters<typeof staysTaken>[0];
type Loss = 'none' | 'question' | 'answer';

/** The store's own rule behind a wire that may lose a question or its answer, in the order of `losses`. */
function budgetOver(losses: readonly Loss[]) {
  let logins: readonly LoginRow[] = [];
  let asked = 0;
  const call = async (_method: string, { id, act }: { id: string; act: 'take' | 'return' }) => {
    const loss = losses[asked] ?? 'none';
    asked += 1;
    const lost = new PamError('PAM_TIMEOUT', 'lost');
    if (loss === 'question') throw lost;
    const { rows, granted, inMs } = decideLogin({ account: { account: 'a' }, logins }, { id, act }, 0);
    ({ logins } = rows);
    if (loss === 'answer') throw lost;
    return { granted, inMs };
  };
  const ask: Parameters<typeof createLoginBudget>[1]['ask'] = async (what) => {
    try {
      return await what();
    } catch (reason) {
      if (isStoreAway(reason)) return { type: 'store-away' };
      throw reason;
    }
  };
  const held = { opened: { offer: { job: 'job' }, names: { account: 'a' } } };
  const deps = { call, runtime: { nowMs: () => 0 } };
  const buy = createLoginBudget(
    held as unknown as Parameters<typeof createLoginBudget>[0],
    { ask },
    deps as unknown as Parameters<typeof createLoginBudget>[2],
  );
  return { buy, taken: () => logins.filter(({ state }) => state === 'taken').length };
}

const saying =
  (said: Said, seen: Said[] = []): LoginTry =>
  async () => {
    seen.push(said);
    return { isSpent: staysTaken(said), event: { type: 'probed', answer: said } };
  };

test('a target that is away costs nothing, however often it is looked for', async () => {
  const { buy, taken } = budgetOver([]);
  for (let look = 0; look < 20; look += 1) {
    expect(await buy(saying('unreachable'))).toEqual({ type: 'probed', answer: 'unreachable' });
  }
  expect(await buy(saying('opens'))).toEqual({ type: 'probed', answer: 'opens' });
  expect(taken()).toBe(0);
});

test('what the server said is told although the store cannot hear that it cost nothing', async () => {
  const { buy, taken } = budgetOver(['none', 'question']);
  expect(await buy(saying('opens'))).toEqual({ type: 'probed', answer: 'opens' });
  expect(taken()).toBe(1);
  await buy(saying('opens'));
  expect(taken()).toBe(0);
});

test('[R6] whatever is lost on the way: no more logins that may count than the budget, and none is spent without one', async () => {
  const said = fc.constantFrom<Said>('opens', 'unreachable', 'refused', 'unknown', 'locked', 'expired');
  const loss = fc.constantFrom<Loss>('none', 'none', 'question', 'answer');
  await fc.assert(
    fc.asyncProperty(fc.array(said, { maxLength: 30 }), fc.array(loss, { maxLength: 60 }), async (logins, losses) => {
      const { buy, taken } = budgetOver(losses);
      const seen: Said[] = [];
      for (const one of logins) await buy(saying(one, seen));
      // Those whose return was lost are told before the next login is bought; nothing is lost any more by then.
      for (let told = 0; told <= losses.length; told += 1) await buy(saying('opens', seen));
      const spent = seen.filter(staysTaken).length;
      expect(spent).toBeLessThanOrEqual(probeBudget.refusals);
      expect(taken()).toBe(spent);
    }),
  );
});
