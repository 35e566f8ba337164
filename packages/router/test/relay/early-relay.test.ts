import { createServer } from 'node:net';
import { connect, createServer as createTlsServer } from 'node:tls';
import { newRouterIdentity } from '@sallyport/seal';
import { freePort } from '@sallyport/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { beginRelay } from '../../src/relay/index.ts';
import { forkRelay } from '../../src/relay/fork-relay.ts';
import { takeTls } from '../support/take-tls.ts';

const host = '127.0.0.1';

test('who dials a router that is not there yet waits, and is served; a relay that was forked before is taken', async () => {
  const { certificatePem: cert, privateKeyPem: key } = await newRouterIdentity([host], Date.now());
  const port = await freePort();
  const listens = Promise.withResolvers<void>();
  const forked = forkRelay({});
  const log = (_level: string, message: string): void => {
    if (message === 'relay listens') listens.resolve();
  };
  const early = beginRelay({ host, port, log }, forked);
  onTestFinished(() => early.close());
  await listens.promise;
  const clients = Array.from({ length: 3 }, () => connect({ host, port, rejectUnauthorized: false }));
  const secured = clients.map(
    (client) => new Promise<string>((resolve) => client.once('secureConnect', () => resolve('secured'))),
  );
  // They are connected, and have said hello: the relay has them, and nobody else is there.
  await Promise.all(clients.map((client) => new Promise((resolve) => client.once('connect', resolve))));
  const server = createTlsServer({ cert, key }, (socket) => socket.end());
  const relay = await early.serve({ onTls: takeTls((socket) => void server.emit('connection', socket)) });
  expect(relay.pid).toBe(forked.pid);
  expect(relay.port).toBe(port);
  expect(await Promise.all(secured)).toEqual(['secured', 'secured', 'secured']);
  for (const client of clients) client.destroy();
});

test('a port that is taken is told by who serves, and the forked process ends', async () => {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, host, resolve));
  onTestFinished(() => void holder.close());
  const address = holder.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const forked = forkRelay({});
  const ended = new Promise((resolve) => forked.once('exit', resolve));
  const early = beginRelay({ host, port, log: () => undefined }, forked);
  await expect(early.serve({ onTls: () => undefined })).rejects.toMatchObject({ code: 'PAM_PORT_IN_USE' });
  await ended;
});

test('a relay that nobody serves is closed with its clients', async () => {
  const port = await freePort();
  const listens = Promise.withResolvers<void>();
  const early = beginRelay({ host, port, log: () => listens.resolve() }, null);
  await listens.promise;
  const client = connect({ host, port, rejectUnauthorized: false });
  const over = new Promise((resolve) => client.once('error', resolve).once('close', resolve));
  await new Promise((resolve) => client.once('connect', resolve));
  await early.close();
  await early.close();
  await over;
});
