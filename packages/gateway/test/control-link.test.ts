import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { newRouterIdentity } from '@sallyport/seal';
import { directReach } from '@sallyport/stream';
import { createCleanup } from '@sallyport/testkit';
import { afterAll, expect, test } from 'vitest';
import { openControlLink } from '../src/agent/link/control-link.ts';
import { systemRuntime } from '../src/index.ts';

const cleanup = createCleanup();
afterAll(() => cleanup.run());
const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** A router with the right key that answers the upgrade with this status and header; what the instance makes of it. */
async function refusedWith(status: number, retryAfter?: string) {
  const identity = await newRouterIdentity(['127.0.0.1'], Date.now());
  const server = createServer({ key: identity.privateKeyPem, cert: identity.certificatePem });
  server.on('upgrade', (_request, socket) => {
    socket.end(
      `HTTP/1.1 ${status} No\r\n${retryAfter === undefined ? '' : `retry-after: ${retryAfter}\r\n`}content-length: 0\r\n\r\n`,
    );
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  cleanup.later(() => void server.close());
  const dialled = openControlLink(
    { host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    {
      runtime: systemRuntime,
      log: quiet,
      pins: [identity.pin],
      reach: directReach,
      handlers: {} as never,
      onReached: () => undefined,
      onPong: () => undefined,
      onClosed: () => undefined,
    },
    new AbortController().signal,
  );
  return dialled.then(
    () => expect.unreachable('the link is up'),
    (error: { code: string; message: string; remedy: string; detail: Record<string, unknown> }) => error,
  );
}

test('a router that is full or starting is dialled again when it asks for it', async () => {
  const error = await refusedWith(503, '7');
  expect(error).toMatchObject({ code: 'PAM_ROUTER_UNREACHABLE', detail: { retryAfterMs: 7_000 } });
  expect(error.message).toContain('HTTP 503');
  expect(error.remedy).toContain('by itself');
});

test.each(['-1', '1e9', 'Wed, 21 Oct 2065 07:28:00 GMT', '9999', ''])(
  'a retry-after of “%s” keeps no instance away',
  async (header) => {
    expect((await refusedWith(503, header)).detail).not.toHaveProperty('retryAfterMs');
  },
);

test('any other answer is that of something else than our router, and says so', async () => {
  const error = await refusedWith(404);
  expect(error.detail).not.toHaveProperty('retryAfterMs');
  expect(error.remedy).toContain('Check that the address');
});
