import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import { createServer, type TlsOptions } from 'node:tls';
import { newRouterIdentity } from '@sallyport/seal';
import { directReach, type Reach, readReach } from '@sallyport/stream';
import { startConnectProxy } from '@sallyport/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../time/system-clock.ts';
import { pinnedTransport } from './pinned-transport.ts';

const code = (wanted: string, detail: Record<string, unknown> = {}) =>
  expect.objectContaining({ code: wanted, detail: expect.objectContaining(detail) });
const ask = { method: 'GET', path: '/v1/info', headers: { authorization: 'secret' }, body: null } as const;

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

/** Loopback is exempt from proxies; here it is not. */
const through = (url: string): Reach => ({ ...readReach(url, {}), except: { has: () => false } });

async function tlsServer(options: TlsOptions = {}) {
  const identity = await newRouterIdentity(['127.0.0.1'], Date.now());
  const seen: string[] = [];
  const server = createServer({ key: identity.privateKeyPem, cert: identity.certificatePem, ...options }, (socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      seen.push(bytes.toString());
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}');
    });
  });
  server.on('tlsClientError', () => undefined);
  return { pin: identity.pin, seen, port: await listening(server) };
}

function transportTo(port: number, pins: readonly string[] | null, reach = directReach) {
  const transport = pinnedTransport({ host: '127.0.0.1', port }, pins, { clock: systemClock, reach });
  onTestFinished(() => transport.close());
  return { transport, send: async () => transport.send({ ...ask, signal: new AbortController().signal }) };
}

test('the router is known by its key alone', async () => {
  const { pin, port } = await tlsServer();
  expect(await transportTo(port, ['x'.repeat(43), pin]).send()).toMatchObject({ status: 200, body: '{}' });
});

test('an impostor gets not one byte of a request', async () => {
  const { port, seen } = await tlsServer();
  await expect(transportTo(port, ['x'.repeat(43)]).send()).rejects.toThrow(code('PAM_ROUTER_IMPOSTOR'));
  expect(seen).toEqual([]);
});

test('an impostor gets nothing either when the environment switches certificate checks off', async () => {
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
  onTestFinished(() => void delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']);
  const { port, seen } = await tlsServer();
  await expect(transportTo(port, ['x'.repeat(43)]).send()).rejects.toThrow(code('PAM_ROUTER_IMPOSTOR'));
  expect(seen).toEqual([]);
});

test('without a pin the first key seen is the only one for the rest of the command', async () => {
  const { pin, port } = await tlsServer();
  const { transport, send } = transportTo(port, null);
  expect(transport.seenPin()).toBeNull();
  await send();
  expect(transport.seenPin()).toBe(pin);
});

test('TLS 1.2 is refused', async () => {
  const { pin, port, seen } = await tlsServer({ maxVersion: 'TLSv1.2' });
  await expect(transportTo(port, [pin]).send()).rejects.toThrow(code('PAM_ROUTER_UNREACHABLE', { sent: 0 }));
  expect(seen).toEqual([]);
});

test('a server that speaks no TLS, hangs up or is not there is told as such, and nothing was sent', async () => {
  const plain = await listening(createTcpServer((socket) => socket.end('SSH-2.0-OpenSSH\r\n')));
  await expect(transportTo(plain, null).send()).rejects.toThrow(/does not speak TLS 1.3/);
  const silent = await listening(createTcpServer((socket) => socket.destroy()));
  await expect(transportTo(silent, null).send()).rejects.toThrow(code('PAM_ROUTER_UNREACHABLE', { sent: 0 }));
  const gone = createTcpServer();
  const port = await listening(gone);
  await new Promise((resolve) => gone.close(resolve));
  await expect(transportTo(port, null).send()).rejects.toThrow(/connection refused/);
});

test('a request that is interrupted ends at once', async () => {
  const { pin, port } = await tlsServer();
  const { transport } = transportTo(port, [pin]);
  const aborted = AbortSignal.abort();
  await expect(transport.send({ ...ask, signal: aborted })).rejects.toThrow(code('PAM_INTERRUPTED'));
});

test('a proxy carries the request and sees none of it', async () => {
  const { pin, port } = await tlsServer();
  const proxy = await startConnectProxy(onTestFinished);
  expect(await transportTo(port, [pin], through(proxy.url)).send()).toMatchObject({ status: 200 });
  expect(proxy.asked()).toEqual([`127.0.0.1:${port}`]);
  expect(proxy.requests().join('')).not.toContain('secret');
});

test('a proxy that leads to another host is an impostor and gets not one byte of a request', async () => {
  const [router, impostor] = [await tlsServer(), await tlsServer()];
  const proxy = await startConnectProxy(onTestFinished);
  proxy.behave({ kind: 'leads-to', host: '127.0.0.1', port: impostor.port });
  await expect(transportTo(router.port, [router.pin], through(proxy.url)).send()).rejects.toThrow(
    code('PAM_ROUTER_IMPOSTOR'),
  );
  expect(impostor.seen).toEqual([]);
});

test('a proxy that refuses is told as such, and the call may be made again', async () => {
  const { pin, port } = await tlsServer();
  const proxy = await startConnectProxy(onTestFinished, { login: 'anna:hunter2' });
  const sent = transportTo(port, [pin], through(`http://${proxy.host}:${proxy.port}`)).send();
  await expect(sent).rejects.toThrow(code('PAM_PROXY_REFUSED', { status: 407, sent: 0 }));
});
