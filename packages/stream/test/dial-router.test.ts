import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { newRouterIdentity } from '@sallyport/seal';
import { createFakeClock, type ProxyManner, startConnectProxy, startTcpTarget, echo } from '@sallyport/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { dialRouter, readReach } from '../src/index.ts';
import { breakLeg } from '../src/leg/break-leg.ts';

const never = new AbortController().signal;
const longMs = 60_000;

/** Loopback is exempt from proxies: the routers of these tests have names that only the proxy knows how to reach. */
async function setUp(manner: ProxyManner = { kind: 'honest' }, login?: string) {
  const target = await startTcpTarget(onTestFinished, echo);
  const proxy = await startConnectProxy(onTestFinished, login === undefined ? {} : { login });
  proxy.behave(manner.kind === 'honest' ? { kind: 'leads-to', host: '127.0.0.1', port: target.port } : manner);
  const dial = async (options: { url?: string; host?: string; withinMs?: number; signal?: AbortSignal } = {}) => {
    const socket = await dialRouter({
      address: { host: options.host ?? 'pam.example', port: 7_443 },
      reach: readReach(options.url ?? proxy.url, {}),
      withinMs: options.withinMs ?? longMs,
      halfOpen: true,
      signal: options.signal ?? never,
    });
    onTestFinished(() => void socket.destroy());
    return socket;
  };
  return { target, proxy, dial };
}

async function answerTo(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  return bytes.toString();
}

test('a router is reached through a proxy, which is asked for it by name', async () => {
  const { proxy, dial } = await setUp();
  expect(await answerTo(await dial(), 'hello')).toBe('hello');
  expect(proxy.asked()).toEqual(['pam.example:7443']);
});

test('user and password of the URL reach the proxy, and no message', async () => {
  const { dial, proxy } = await setUp(undefined, 'anna:hunter2:x');
  expect(await answerTo(await dial(), 'hello')).toBe('hello');
  const wrong = await dial({ url: `http://anna:wrong-word@127.0.0.1:${proxy.port}` }).catch((error: unknown) => error);
  expect(wrong).toMatchObject({ code: 'PAM_PROXY_REFUSED', detail: { status: 407, sent: 0 } });
  expect(JSON.stringify(wrong) + String(wrong)).not.toMatch(/wrong-word|anna/);
  const none = dial({ url: `http://127.0.0.1:${proxy.port}` });
  await expect(none).rejects.toMatchObject({ remedy: expect.stringContaining('http://USER:PASSWORD@HOST:PORT') });
});

test('a proxy that takes no password we can give is told as such', async () => {
  const fields = ['Proxy-Authenticate: Negotiate', 'Proxy-Authenticate: NTLM'];
  const { dial } = await setUp({ kind: 'refuses', status: '407 No', fields });
  await expect(dial()).rejects.toMatchObject({ remedy: expect.stringContaining('It takes Negotiate, NTLM only') });
});

test.each([
  [{ kind: 'refuses', status: '403 Forbidden' }, 'PAM_PROXY_REFUSED', /403 Forbidden/],
  [{ kind: 'refuses', status: '503 Service Unavailable' }, 'PAM_PROXY_REFUSED', /503/],
  [{ kind: 'closes' }, 'PAM_PROXY_UNREACHABLE', /closed/],
  [{ kind: 'says', bytes: 'SSH-2.0-OpenSSH\r\n' }, 'PAM_PROXY_UNREACHABLE', /does not answer in HTTP/],
  [{ kind: 'says', bytes: 'H'.repeat(20) }, 'PAM_PROXY_UNREACHABLE', /does not answer in HTTP/],
  [{ kind: 'endless' }, 'PAM_PROXY_UNREACHABLE', /within 8192 bytes/],
] as const)('a proxy that %j is %s', async (manner, code, message) => {
  const { dial, proxy } = await setUp(manner);
  const error: unknown = await dial().catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code, message: expect.stringMatching(message), detail: { sent: 0 } });
  expect(String(error)).toContain(`http://127.0.0.1:${proxy.port} (--proxy)`);
});

test('a proxy that says nothing is given up at the deadline, and nothing is left open', async () => {
  const { proxy } = await setUp({ kind: 'silent' });
  const clock = createFakeClock();
  const timers = { nowMs: clock.monotonicMs, wallMs: clock.nowMs, after: clock.after };
  const dialling = dialRouter({
    address: { host: 'pam.example', port: 7_443 },
    reach: readReach(proxy.url, {}),
    withinMs: 5_000,
    halfOpen: true,
    timers,
    signal: never,
  });
  dialling.catch(() => undefined);
  await expect.poll(() => proxy.asked().length, { timeout: longMs }).toBe(1);
  await clock.advance(5_000);
  await expect(dialling).rejects.toMatchObject({
    code: 'PAM_PROXY_UNREACHABLE',
    message: expect.stringMatching(/in time/),
  });
  await expect.poll(() => proxy.openCount(), { timeout: longMs }).toBe(0);
  expect(clock.pending()).toBe(0);
});

test('an interrupted dial ends with the reason and leaves nothing open', async () => {
  const { dial, proxy } = await setUp({ kind: 'silent' });
  const stop = new AbortController();
  const dialling = dial({ signal: stop.signal });
  dialling.catch(() => undefined);
  await expect.poll(() => proxy.asked().length, { timeout: longMs }).toBe(1);
  stop.abort('client-closed');
  await expect(dialling).rejects.toMatchObject({ code: 'PAM_INTERRUPTED' });
  await expect.poll(() => proxy.openCount(), { timeout: longMs }).toBe(0);
});

test('an answer that comes byte by byte, and bytes glued behind it, lose nothing', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\n\r\nfirst words'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { dial, proxy, target } = await setUp();
  const { port } = server.address() as { port: number };
  const glued = await dial({ url: `http://127.0.0.1:${port}` });
  expect(String(glued.read(5))).toBe('first');
  expect(String(glued.read())).toBe(' words');
  proxy.behave({ kind: 'dribbles' });
  // Only an address that is no loopback goes to a proxy; this one means this host all the same.
  const slow = await dialRouter({
    address: { host: '0.0.0.0', port: target.port },
    reach: readReach(proxy.url, {}),
    withinMs: longMs,
    halfOpen: true,
    signal: never,
  });
  onTestFinished(() => void slow.destroy());
  expect(await answerTo(slow, 'slowly')).toBe('slowly');
});

test('a proxy with TLS must have a certificate that is trusted; the environment does not switch that off', async () => {
  const identity = await newRouterIdentity(['127.0.0.1'], Date.now());
  const tls = { key: identity.privateKeyPem, cert: identity.certificatePem };
  const proxy = await startConnectProxy(onTestFinished, { tls, login: 'anna:hunter2' });
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
  onTestFinished(() => void delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']);
  const dialling = dialRouter({
    address: { host: 'pam.example', port: 7_443 },
    reach: readReach(proxy.url, {}),
    withinMs: longMs,
    halfOpen: true,
    signal: never,
  });
  await expect(dialling).rejects.toMatchObject({
    code: 'PAM_PROXY_UNREACHABLE',
    remedy: expect.stringContaining('NODE_EXTRA_CA_CERTS'),
  });
  expect(proxy.requests()).toEqual([]);
});

test('a leg through a proxy with TLS carries bytes both ways, its end, and a break', async () => {
  const identity = await newRouterIdentity(['localhost'], Date.now());
  const before = getCACertificates('default');
  setDefaultCACertificates([...before, identity.certificatePem]);
  onTestFinished(() => setDefaultCACertificates(before));
  const proxy = await startConnectProxy(onTestFinished, {
    tls: { key: identity.privateKeyPem, cert: identity.certificatePem },
  });
  const target = await startTcpTarget(onTestFinished, echo);
  proxy.behave({ kind: 'leads-to', host: '127.0.0.1', port: target.port });
  const dial = async () => {
    const socket = await dialRouter({
      address: { host: 'pam.example', port: 7_443 },
      reach: readReach(`https://localhost:${proxy.port}`, {}),
      withinMs: longMs,
      halfOpen: true,
      signal: never,
    });
    onTestFinished(() => void socket.destroy());
    return socket;
  };
  const socket = await dial();
  const sent = Buffer.alloc(300_000, 'bytes');
  socket.end(sent);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(Buffer.from(chunk as Buffer));
  expect(Buffer.concat(chunks).equals(sent)).toBe(true);
  breakLeg(await dial());
  await expect.poll(() => target.openCount(), { timeout: longMs }).toBe(0);
});
