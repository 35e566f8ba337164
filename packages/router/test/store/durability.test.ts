import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join as joinPath } from 'node:path';
import { createInterface } from 'node:readline';
import { createSeededRandom } from '@sallyport/testkit';
import { describe, expect, test } from 'vitest';
import type { StorePlace } from '../../src/store/index.ts';
import { postgresUnderTest, sqliteUnderTest } from './engines.ts';

/** Ten rounds in the suite, SALLYPORT_KILL_ROUNDS for a night. SALLYPORT_SEED repeats one. */
const rounds = Number(process.env['SALLYPORT_KILL_ROUNDS'] ?? 10);
const seed = Number(process.env['SALLYPORT_SEED'] ?? Date.now() % 1_000_000);
const random = createSeededRandom(seed);

/** Starts a writer, kills it -9 after a random number of acknowledgements, and answers them. */
async function killAWriter(place: StorePlace, round: number): Promise<string[]> {
  const file = joinPath(import.meta.dirname, 'writer.ts');
  const child = spawn(process.execPath, [file, JSON.stringify(place), String(round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const acknowledged: string[] = [];
  const wanted = 1 + random.below(400);
  for await (const line of createInterface({ input: child.stdout })) {
    acknowledged.push(line);
    if (acknowledged.length === wanted) child.kill('SIGKILL');
  }
  await exited;
  return acknowledged;
}

describe.each([sqliteUnderTest(), postgresUnderTest()])('on $name', (engine) => {
  test.skipIf(engine.missing !== null)(
    `a writer killed -9 loses nothing it acknowledged (seed ${seed})`,
    async () => {
      const place = await engine.freshPlace();
      const acknowledged: string[] = [];
      // The next writer opens what the last one left, as a router does; a loss would still show at the end.
      for (let round = 0; round < rounds; round += 1) acknowledged.push(...(await killAWriter(place, round)));
      const store = await engine.open(place);
      const found = await Promise.all(acknowledged.map((key) => store.identity.readSetting({ key })));
      expect(acknowledged.filter((_, i) => found[i] !== 'acknowledged')).toEqual([]);
      expect(acknowledged.length).toBeGreaterThanOrEqual(rounds);
      expect(await store.check()).toEqual([]);
    },
    60_000 + rounds * 10_000,
  );
});
