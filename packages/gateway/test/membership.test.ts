import { mkdtemp, rm } from 'node:fs/promises';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PamError } from '@sallyport/protocol';
import { newSigningKey, newSymmetricKey, verifyHello, wrapKey } from '@sallyport/seal';
import { freePort } from '@sallyport/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { createInstallation } from './lab/installation.ts';
import { type Joining, joinWith } from './lab/join.ts';
import { type ScriptedRouter, startScriptedRouter } from './lab/scripted-router.ts';

type Router = Awaited<ReturnType<typeof startScriptedRouter>>;
const later = (work: () => Promise<void>): void => onTestFinished(work);

async function startRouter(port = 0): Promise<Router> {
  const router = await startScriptedRouter((identity) => createInstallation(identity.pin), port);
  later(() => router.close());
  return router;
}
const configOf = (router: Router): ReturnType<Router['installation']['config']> =>
  router.installation.config([router.address], [router.identity.pin]);
async function join1(router: Router, options: Parameters<typeof joinWith>[2] = {}): Promise<Joining> {
  return joinWith(await configOf(router), later, options);
}

test('an instance proves its key over the pinned link after an echo on the data port, then is ready', async () => {
  const router = await startRouter();
  const linked = router.nextLink();
  const { instance, said } = await join1(router);
  const hello = await (await linked).hello;
  await said('ready');
  expect(router.legs).toEqual(['echo']);
  expect(hello).toMatchObject({ gateway: router.installation.gateway, instance: instance.id, held: null, streams: [] });
  expect(hello.head).toEqual(router.installation.head());
  expect(instance.health()).toMatchObject({ ready: true, membership: 'slot', why: '' });
  await expect(
    verifyHello(hello.proof, {
      certificate: hello.certificate,
      gateway: router.installation.gateway,
      poolPublicJwk: router.installation.pool.publicJwk,
      nonce: 'A'.repeat(43),
      routerPin: router.identity.pin,
      nowMs: Date.now(),
    }),
  ).rejects.toMatchObject({ code: 'PAM_INSTANCE_REFUSED', detail: { why: 'nonce' } });
});

test('an impostor with another key is told nothing, and the start ends with that', async () => {
  const [honest, impostor] = [await startRouter(), await startRouter()];
  const config = await honest.installation.config([impostor.address], [honest.identity.pin]);
  const { instance } = await joinWith(config, later);
  expect((await instance.gaveUp).code).toBe('PAM_ROUTER_IMPOSTOR');
  expect(impostor.links).toHaveLength(0);
});

test('a router that is down at the start is waited for, said once', async () => {
  const port = await freePort();
  const known = await startRouter();
  const config = await known.installation.config([`127.0.0.1:${port}`], [known.identity.pin]);
  const { log, said, instance } = await joinWith(config, later);
  const line = await said('router not reachable, trying until it answers');
  expect(line.fields).toMatchObject({ code: 'PAM_ROUTER_UNREACHABLE' });
  expect(instance.health()).toMatchObject({ ready: false, membership: 'none' });
  const forward = net.createServer((socket) => {
    const onward = net.connect(known.port, '127.0.0.1');
    socket.pipe(onward).pipe(socket);
    for (const end of [socket, onward]) end.on('error', () => undefined);
  });
  await new Promise<void>((done) => forward.listen(port, '127.0.0.1', done));
  later(async () => void forward.close());
  await said('ready');
  expect(log.filter(({ level }) => level === 'warn')).toHaveLength(1);
});

test('something that is no router is said as such and tried again', async () => {
  const known = await startRouter();
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  later(async () => void server.close());
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { said } = await joinWith(await known.installation.config([address], [known.identity.pin]), later);
  expect((await said('router not reachable, trying until it answers')).fields['error']).toMatch(/does not speak TLS/);
});

const refusals: readonly (readonly [string, (router: Router) => Promise<void> | void, string, RegExp])[] = [
  [
    'a clock that differs by minutes',
    (router) => void (router.script.clockOffsetMs = 600_000),
    'PAM_CLOCK_SKEW',
    /600 s behind/,
  ],
  [
    'no protocol version in common',
    (router) => void (router.script.protocol = { min: 2, max: 3 }),
    'PAM_VERSION_UNSUPPORTED',
    /2 to 3/,
  ],
  ['a full pool, when it may not wait', (router) => refuse(router, 'PAM_POOL_FULL'), 'PAM_POOL_FULL', /no/],
  [
    'a gateway that the router says is removed',
    (router) => refuse(router, 'PAM_GATEWAY_REMOVED'),
    'PAM_GATEWAY_REMOVED',
    /no/,
  ],
  ['a proof that the router refuses', (router) => refuse(router, 'PAM_INSTANCE_REFUSED'), 'PAM_INSTANCE_REFUSED', /no/],
  [
    'a gateway that the log says is removed',
    (router) => router.installation.append({ kind: 'gateway-removed', gateway: router.installation.gateway }),
    'PAM_GATEWAY_REMOVED',
    /removed/,
  ],
  [
    'a log shorter than the floor',
    (router) => void (router.script.entries = router.installation.entries.slice(0, 3)),
    'PAM_TRUST_SHORTENED',
    /ends at entry 2/,
  ],
  [
    'a log of another installation',
    async (router) => void (router.script.entries = (await createInstallation(router.identity.pin)).entries),
    'PAM_TRUST_ANCHOR',
    /does not begin/,
  ],
  ['a key that the log does not commit to', forgeWrap, 'PAM_WRAP_INVALID', /commits/],
  ['no key at all', (router) => void (router.script.wraps = []), 'PAM_WRAP_INVALID', /gave no key/],
];
function refuse(router: ScriptedRouter, code: 'PAM_POOL_FULL' | 'PAM_GATEWAY_REMOVED' | 'PAM_INSTANCE_REFUSED'): void {
  router.script.refuseHello = new PamError(code, 'no');
}
async function forgeWrap({ script, installation }: Router): Promise<void> {
  const { app, box, device } = installation;
  const wrap = await wrapKey(
    { app, part: 'facts', gen: 1 },
    newSymmetricKey(),
    box.publicJwk,
    device,
    Math.floor(Date.now() / 1_000),
  );
  script.wraps = [{ app, part: 'facts', gen: 1, recipient: box.id, wrap }];
}
test.each(refusals)('%s ends a start with its own error', async (_name, prepare, code, message) => {
  const router = await startRouter();
  const config = await configOf(router);
  await prepare(router);
  const { instance } = await joinWith(config, later);
  const error = await instance.gaveUp;
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
  expect(error.remedy.length).toBeGreaterThan(10);
});

test('a pool key that was replaced in the log ends a start', async () => {
  const router = await startRouter();
  const config = await configOf(router);
  const other = await newSigningKey();
  const { exportPrivate } = await import('@sallyport/seal');
  const { instance } = await joinWith({ ...config, signKey: await exportPrivate(other) }, later);
  expect(await instance.gaveUp).toMatchObject({ code: 'PAM_GATEWAY_REMOVED', detail: { why: 'keys' } });
});

test('what the state folder saw is remembered: a log cut back or forked later is refused at the next start', async () => {
  const stateDir = await mkdtemp(join(tmpdir(), 'sallyport-gateway-'));
  later(() => rm(stateDir, { recursive: true, force: true }));
  const router = await startRouter();
  const config = await configOf(router);
  const seenByNobodyElse = router.installation.entries.length;
  await router.installation.append({ kind: 'router-pin', pins: [router.identity.pin] });
  const first = await joinWith(config, later, { stateDir });
  await first.said('ready');
  first.instance.hurry();
  await first.instance.left;
  router.script.entries = router.installation.entries.slice(0, seenByNobodyElse);
  const cut = await joinWith(config, later, { stateDir });
  expect((await cut.instance.gaveUp).code).toBe('PAM_TRUST_SHORTENED');
  cut.instance.hurry();
  await cut.instance.left;
  const { signEntry, foldLog, createLog } = await import('@sallyport/seal');
  const before = await foldLog(createLog(config.anchor), router.installation.entries.slice(0, seenByNobodyElse));
  const fork = await signEntry(
    before,
    { kind: 'router-pin', pins: ['B'.repeat(43)] },
    router.installation.device,
    Math.floor(Date.now() / 1_000) - 5,
  );
  const forked = await foldLog(before, [fork]);
  const next = await signEntry(
    forked,
    { kind: 'router-pin', pins: ['C'.repeat(43)] },
    router.installation.device,
    Math.floor(Date.now() / 1_000),
  );
  router.script.entries = [...router.installation.entries.slice(0, seenByNobodyElse), fork, next];
  const split = await joinWith(config, later, { stateDir });
  expect((await split.instance.gaveUp).code).toBe('PAM_TRUST_FORKED');
});

test('a standby says why it waits and says its promotion; ready both times', async () => {
  const router = await startRouter();
  const reason = 'pool full: maximum 3, connected 3';
  router.script.membership = { kind: 'standby', position: 1, reason };
  const linked = router.nextLink();
  const { instance, said } = await join1(router);
  expect((await said('waiting as standby')).fields).toMatchObject({ reason, position: 1 });
  await said('ready');
  expect(instance.health()).toMatchObject({ ready: true, membership: 'standby', why: reason });
  const link = await linked;
  await link.call('link.membership', { membership: { kind: 'slot', seq: 7, epoch: 4 } }, { timeoutMs: 60_000 });
  expect((await said('promoted')).fields).toMatchObject({ seq: 7, epoch: 4 });
  expect(instance.health()).toMatchObject({ ready: true, membership: 'slot', why: '' });
});

test('a cut link is dialled again with the slot it held; a silent one too', async () => {
  const router = await startRouter();
  router.script.membership = { kind: 'slot', seq: 5, epoch: 6 };
  router.script.suspectMs = 300;
  const linked = router.nextLink();
  const { instance, said } = await join1(router);
  const link = await linked;
  await said('ready');
  const second = router.nextLink();
  link.cut();
  await said('link lost, redialling; running streams go on');
  expect((await (await second).hello).held).toEqual({ seq: 5, epoch: 6 });
  await said('ready', 2);
  const third = router.nextLink();
  router.script.answersPings = false;
  await third;
  router.script.answersPings = true;
  await said('ready', 3);
  await expect.poll(() => instance.health().ready).toBe(true);
});

test('a drain with nothing to finish says bye at once', async () => {
  const router = await startRouter();
  const { instance, said } = await join1(router);
  await said('ready');
  instance.drain(3_600_000);
  expect(await instance.left).toBe('drained');
  expect(router.byes).toEqual(['drained']);
});

test('a gateway removed while the instance runs ends it with that', async () => {
  const router = await startRouter();
  const linked = router.nextLink();
  const { instance, said } = await join1(router);
  await said('ready');
  await router.installation.append({ kind: 'gateway-removed', gateway: router.installation.gateway });
  (await linked).notify('vault.changed', { head: router.installation.head(), items: [] });
  expect((await instance.gaveUp).code).toBe('PAM_GATEWAY_REMOVED');
});

test('an instance that is told of a twin says so, and keeps its link and its place', async () => {
  const router = await startRouter();
  const linked = router.nextLink();
  const { said, log, instance } = await join1(router);
  const link = await linked;
  await said('ready');
  link.notify('link.duplicate', { from: '10.0.0.9', atMs: 1 });
  const line = await said('another process uses this identity; it was refused and this one goes on');
  expect(line).toMatchObject({ level: 'warn', fields: { instance: instance.id, from: '10.0.0.9' } });
  expect(instance.health()).toMatchObject({ ready: true, membership: 'slot' });
  expect(log.some((each) => each.message.startsWith('link lost'))).toBe(false);
});
