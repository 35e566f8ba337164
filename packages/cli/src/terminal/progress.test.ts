import { createFakeClock } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import { withProgress } from './progress.ts';
import type { Terminal } from './terminal.ts';

function watched(animated: boolean) {
  const [clock, said] = [createFakeClock(), [] as string[]];
  const terminal = { animated, err: (text: string) => void said.push(text) } as Partial<Terminal> as Terminal;
  return { clock, said, deps: { clock: clock as never, terminal } };
}

test('what takes over two seconds says how far it is, anew each time, and wipes its line', async () => {
  const { clock, said, deps } = watched(true);
  let done = 0;
  await withProgress(
    deps,
    () => `importing, ${done} of 9 lines`,
    async () => {
      await clock.advance(1_999);
      expect(said).toEqual([]);
      await clock.advance(1);
      done = 5;
      await clock.advance(120);
    },
  );
  expect(said).toEqual([
    expect.stringContaining('importing, 0 of 9 lines'),
    expect.stringContaining('importing, 5 of 9 lines'),
    '\r\u001b[K',
  ]);
  expect(clock.pending()).toBe(0);
});

test('where nobody watches nothing is drawn, and a failure leaves no timer', async () => {
  const { clock, said, deps } = watched(false);
  await withProgress(deps, 'importing', async () => clock.advance(60_000));
  expect(said).toEqual([]);
  const fails = watched(true);
  const failing = withProgress(fails.deps, 'importing', async () => Promise.reject(new Error('refused')));
  await expect(failing).rejects.toThrow('refused');
  expect([fails.said, fails.clock.pending()]).toEqual([[], 0]);
});
