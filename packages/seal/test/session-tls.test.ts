import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { honestInstallation } from '@sallyport/testkit';
import { afterAll, expect, test } from 'vitest';
import { PamError } from '@sallyport/protocol';
import {
  checkInstanceCertificate,
  checkSessionCertificate,
  newInstanceIdentity,
  newSessionIdentity,
  type TlsIdentity,
} from '../src/index.ts';

/** Real TLS 1.3 over loopback with the certificates of this package, each end judging the other's by hand. */
const nowMs = Date.now();
const honest = await honestInstallation(Math.floor(nowMs / 1_000));
const { pool, otherPool } = honest;
const session = await newSessionIdentity(nowMs);
const otherSession = await newSessionIdentity(nowMs);
const servers: tls.Server[] = [];
afterAll(() => {
  for (const server of servers) server.close();
});

interface Handshake {
  readonly clientSays: string;
  readonly instanceSays: string;
}

const whyOf = (reason: unknown): string =>
  reason instanceof PamError ? String(reason.detail['why'] ?? reason.code) : String(reason);

async function handshake(instance: TlsIdentity, client: Partial<TlsIdentity>, atMs = nowMs): Promise<Handshake> {
  const server = tls.createServer({
    key: instance.privateKeyPem,
    cert: instance.certificatePem,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    ALPNProtocols: ['sallyport/1'],
  });
  servers.push(server);
  const judged = new Promise<string>((resolve) => {
    server.once('tlsClientError', () => resolve('handshake'));
    server.once('secureConnection', (socket) => {
      const der = socket.getPeerX509Certificate()?.raw ?? new Uint8Array();
      const check = checkSessionCertificate({ der: new Uint8Array(der), cnf: session.thumbprint, nowMs: atMs });
      void check
        .then(() => 'accepted', whyOf)
        .then((word) => {
          socket.destroy();
          resolve(word);
        });
      socket.on('error', () => socket.destroy());
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const credentials =
    client.certificatePem === undefined ? {} : { cert: client.certificatePem, key: client.privateKeyPem };
  const socket = tls.connect({
    host: '127.0.0.1',
    port,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    ALPNProtocols: ['sallyport/1'],
    ...credentials,
  });
  socket.on('error', () => socket.destroy());
  await once(socket, 'secureConnect');
  const der = new Uint8Array(socket.getPeerX509Certificate()?.raw ?? new Uint8Array());
  const question = { der, gateway: pool.uid, poolPublicJwk: pool.signKey.publicJwk, nowMs: atMs };
  const clientSays = await checkInstanceCertificate(question).then(() => 'accepted', whyOf);
  const instanceSays = await judged;
  socket.destroy();
  return { clientSays, instanceSays };
}

test('[C7] client and instance accept each other by the pool key in the log and the session key in the request', async () => {
  const instance = await newInstanceIdentity(pool.signKey, pool.uid, nowMs);
  expect(await handshake(instance, session)).toEqual({ clientSays: 'accepted', instanceSays: 'accepted' });
});

test('[C7] whoever stands in between, with any certificate but an instance of this pool, is refused by the client', async () => {
  const foreign = await newInstanceIdentity(otherPool.signKey, otherPool.uid, nowMs);
  const claimed = await newInstanceIdentity(otherPool.signKey, pool.uid, nowMs);
  const old = await newInstanceIdentity(pool.signKey, pool.uid, nowMs - 2 * 86_400_000);
  const early = await newInstanceIdentity(pool.signKey, pool.uid, nowMs + 3_600_000);
  expect((await handshake(foreign, session)).clientSays).toBe('pool');
  expect((await handshake(claimed, session)).clientSays).toBe('pool');
  expect((await handshake(old, session)).clientSays).toBe('expired');
  expect((await handshake(early, session)).clientSays).toBe('not-yet-valid');
  expect((await handshake(honest.router, session)).clientSays).not.toBe('accepted');
});

test('[C7] a client with another key, an old one or none is refused by the instance', async () => {
  const instance = await newInstanceIdentity(pool.signKey, pool.uid, nowMs);
  expect((await handshake(instance, otherSession)).instanceSays).toBe('session-key');
  expect((await handshake(instance, instance)).instanceSays).toBe('usage');
  expect((await handshake(instance, {})).instanceSays).toBe('malformed');
  expect((await handshake(instance, session, nowMs + 14 * 3_600_000)).instanceSays).toBe('expired');
});
