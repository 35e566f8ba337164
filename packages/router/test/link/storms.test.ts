import { connect as connectTcp } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { createCleanup } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApiClient } from '../support/api-client.ts';
import { claim, installation, type Operator } from '../support/operator.ts';
import { freshRouter } from '../support/router.ts';
import { member } from '../support/scripted-instance.ts';

const cleanup = createCleanup();
afterAll(() => cleanup.run());
let router: Awaited<ReturnType<typeof freshRouter>>;
let anna: Operator;
let pool: Awaited<ReturnType<typeof installation>>['pool'];

beforeAll(async () => {
  router = await freshRouter({ timing: { acceptsPerSecond: 40 } });
  anna = await claim(router);
  ({ pool } = await installation(anna));
  cleanup.later(() => anna.close());
});

/** An upgrade to the control link from an address of its own, and nothing after it; answers the head of the reply. */
function knock(localAddress: string): Promise<{ readonly head: string; readonly socket: TLSSocket }> {
  return new Promise((resolve, reject) => {
    const raw = connectTcp({ host: '127.0.0.1', port: router.port, localAddress });
    raw.on('error', reject);
    const socket = connect({ socket: raw, rejectUnauthorized: false });
    cleanup.later(() => void socket.destroy());
    let text = '';
    socket.on('error', reject);
    socket.on('data', (data) => {
      text += data.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      if (end >= 0) resolve({ head: text.slice(0, end), socket });
    });
    socket.write(
      'GET /v1/link HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n' +
        'sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    );
  });
}

test('an address may hold 64 links without a hello; one more is told when to come again, and others are let in', async () => {
  const knocks = await Promise.all(Array.from({ length: 64 }, () => knock('127.0.0.7')));
  expect(new Set(knocks.map(({ head }) => head.split('\r\n')[0]))).toEqual(
    new Set(['HTTP/1.1 101 Switching Protocols']),
  );
  const { head } = await knock('127.0.0.7');
  expect(head).toMatch(/^HTTP\/1\.1 503 [^]*\r\nretry-after: 5\r\n/);
  expect((await knock('127.0.0.8')).head).toContain('101 Switching Protocols');
  const instance = await member(router, anna, pool);
  expect(instance.challenge.nonce).not.toBe('');
  instance.close();
});

test('more handshakes than the rate wait their turn and are all served; a bystander is answered meanwhile', async () => {
  const clients = Array.from({ length: 120 }, () => createApiClient(router.port));
  cleanup.later(() => {
    for (const client of clients) client.close();
  });
  const answers = clients.map((client) => client.ask({ method: 'GET', path: '/v1/info' }));
  await anna.must('GET', '/v1/gateways');
  expect(new Set((await Promise.all(answers)).map(({ status }) => status))).toEqual(new Set([200]));
});
