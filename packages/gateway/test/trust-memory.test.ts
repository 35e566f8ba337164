import { expect, test } from 'vitest';
import { openTrustMemory } from '../src/agent/index.ts';
import { createInstallation } from './lab/installation.ts';

const store = { read: async () => [], append: async () => undefined };

test('an entry that is announced while a page is read is fetched, too, and only once', async () => {
  const installation = await createInstallation('p'.repeat(43));
  const { anchor, floor, gateway, app } = await installation.config(['127.0.0.1:1'], ['p'.repeat(43)]);
  const memory = await openTrustMemory({ anchor, floor, gateway, app, poolKeyId: installation.pool.id }, store);
  const arrived = Promise.withResolvers<void>();
  let reads = 0;
  const read = async (from: number) => {
    reads += 1;
    const page = { entries: installation.entries.slice(from), head: installation.head() };
    await arrived.promise;
    return page;
  };
  const first = memory.catchUp(read);
  const before = installation.head().n;
  await installation.append({ kind: 'device-removed', device: installation.deviceId });
  const told = [memory.catchUp(read), memory.catchUp(read)];
  arrived.resolve();
  expect((await first).head.n).toBe(before);
  for (const log of await Promise.all(told)) expect(log.head.n).toBe(installation.head().n);
  expect(reads).toBe(2);
});
