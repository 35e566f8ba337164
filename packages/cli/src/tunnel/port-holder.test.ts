import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { portHolder } from './port-holder.ts';

/** Found in CI: the descriptor that lists /proc/PID/fd stood before the listener's, was closed, and hid the holder. */
test('descriptors that close while they are read hide nobody', async () => {
  const gaps = Array.from({ length: 32 }, () => openSync('/dev/null', 'r'));
  const server = createServer();
  onTestFinished(() => void server.close());
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  for (const descriptor of gaps) closeSync(descriptor);
  expect(await portHolder(port)).toContain(`PID ${process.pid}`);
});

test('a port that nobody holds has no holder', async () => {
  expect(await portHolder(1)).toBeNull();
});
