import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { type InstanceId, instanceIdSchema, type PamError, streamIdSchema } from '@sallyport/protocol';
import { newSessionIdentity } from '@sallyport/seal';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  certificateThumbprint,
  connectLocal,
  createStreamContext,
  openClientStream,
  type Reattach,
  resumeClientStream,
  type RunningSplice,
  runInstanceStream,
  serveResume,
  type StreamOutcome,
} from '../src/index.ts';

interface Identity {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}
const hash = 'A'.repeat(43);
const stream = streamIdSchema.parse('S'.repeat(22));
const instanceId = instanceIdSchema.parse('i'.repeat(22));
const never = new AbortController().signal;
let instance: Identity;
let session: Identity;
let stranger: Identity;
const servers: Server[] = [];

const keyOf = ({ certificatePem }: Identity): string =>
  certificateThumbprint(Buffer.from(certificatePem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64'));

beforeAll(async () => {
  const nowMs = Date.now();
  instance = await newSessionIdentity(nowMs);
  session = await newSessionIdentity(nowMs);
  stranger = await newSessionIdentity(nowMs);
});
afterAll(() => {
  for (const server of servers) server.close();
});

async function listen(serve: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    serve(socket);
  });
  servers.push(server.listen(0, '127.0.0.1'));
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Two matched legs; `cut` is what a dying relay does. */
async function legs(): Promise<{ near: Socket; far: Socket; cut: () => void }> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const near = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  near.on('error', () => undefined);
  const [far] = await accepted;
  far.on('error', () => undefined);
  server.close();
  return { near, far, cut: () => setImmediate(() => near.resetAndDestroy()) };
}

interface Running {
  /** The user's end. */
  readonly user: Socket;
  readonly ended: Promise<readonly [StreamOutcome, StreamOutcome]>;
  cut(): void;
  resumes(): number;
  readonly running: Pick<RunningSplice, 'offer'>;
}

/** One stream to the target on `port`, redialled once `mayRedial` resolves; both ends wait for `detachedMs` at most. */
async function run(
  port: number,
  mayRedial: Promise<unknown> = Promise.resolve(),
  detachedMs = 60_000,
): Promise<Running> {
  let carrier = await legs();
  let resumes = 0;
  const opened = Promise.withResolvers<Pick<RunningSplice, 'offer'>>();
  const served = runInstanceStream({
    leg: carrier.far,
    context: createStreamContext(instance),
    sessionKey: keyOf(session),
    ready: { requestHash: hash, head: { n: 3, hash }, instance: instanceId },
    stream,
    dial: async () => {
      const socket = connectLocal({ host: '127.0.0.1', port });
      await once(socket, 'connect');
      return { kind: 'connected', socket };
    },
    onOpened: opened.resolve,
    detachedMs: detachedMs + 1_000,
    signal: never,
  });
  const opening = await openClientStream({
    leg: carrier.near,
    context: createStreamContext(session),
    verifyInstance: () => instanceId,
    approveReady: () => undefined,
    stream,
    signal: never,
  });
  if (opening.kind === 'refused') throw opening.error;
  const running = await opened.promise;
  let gen = 1;
  const reattach: Reattach = async ({ received }, signal) => {
    await mayRedial;
    carrier = await legs();
    resumes++;
    void serveResume({
      leg: carrier.far,
      context: createStreamContext(instance),
      sessionKey: keyOf(session),
      stream,
      running,
      signal: never,
    });
    gen++;
    const context = createStreamContext(session);
    const { near: leg } = carrier;
    return resumeClientStream({
      leg,
      context,
      verifyInstance: () => instanceId,
      stream,
      instance: instanceId,
      gen,
      received,
      signal,
    });
  };
  const taken = Promise.withResolvers<Socket>();
  const listener = await listen(taken.resolve);
  const user = connect({ port: listener, host: '127.0.0.1', allowHalfOpen: true });
  const local = await taken.promise;
  local.pause();
  const near = opening.stream.splice(local, never, { reattach, detachedMs });
  return { user, ended: Promise.all([near, served]), cut: () => carrier.cut(), resumes: () => resumes, running };
}

test('32 MiB up and back through a carrier that is cut over and over arrive byte for byte, and end with an end', async () => {
  const port = await listen((socket) => socket.pipe(socket));
  const { user, ended, cut, resumes } = await run(port);
  const bytes = randomBytes(32 * 1024 * 1024);
  const seen = createHash('sha256');
  let received = 0;
  let cuts = 0;
  user.on('data', (chunk: Buffer) => {
    seen.update(chunk);
    received += chunk.length;
    if (received < (cuts + 1) * 2_500_000) return;
    cuts++;
    cut();
  });
  user.end(bytes);
  await once(user, 'end');
  expect(received).toBe(bytes.length);
  expect(seen.digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'));
  const [near, far] = await ended;
  for (const one of [near, far])
    expect(one).toMatchObject({ reason: 'client-closed', error: null, bytesUp: bytes.length });
  expect(resumes()).toBeGreaterThan(3);
});

test('what was said while nobody was connected arrives once there is a carrier again', async () => {
  let target: Socket | null = null;
  const port = await listen((socket) => {
    target = socket;
  });
  const back = Promise.withResolvers<void>();
  const { user, cut, ended } = await run(port, back.promise);
  user.write('before');
  await once(target ?? user, 'data');
  cut();
  user.write('meanwhile', () => back.resolve());
  const [said] = (await once(target ?? user, 'data')) as [Buffer];
  expect(said.toString()).toBe('meanwhile');
  (target as Socket | null)?.end();
  user.end();
  user.resume();
  (await ended).forEach((one) => expect(one.error).toBeNull());
});

test('a stream that nobody resumes resets both its ends when its time is over', async () => {
  const atTarget = Promise.withResolvers<string>();
  const port = await listen((socket) => {
    socket.on('error', (error: NodeJS.ErrnoException) => atTarget.resolve(error.code ?? ''));
    socket.on('end', () => atTarget.resolve('end'));
    socket.resume();
  });
  const { user, ended, cut } = await run(port, Promise.withResolvers<never>().promise, 2_000);
  const atUser = once(user, 'error') as Promise<[NodeJS.ErrnoException]>;
  cut();
  expect((await atUser)[0].code).toBe('ECONNRESET');
  expect(await atTarget.promise).toBe('ECONNRESET');
  for (const one of await ended) expect(one).toMatchObject({ reason: 'detached-timeout' });
});

/** Dials a leg to a running stream as somebody else would. */
async function intrude(
  running: Running['running'],
  as: {
    readonly identity?: Identity;
    readonly stream?: string;
    readonly verify?: () => InstanceId;
    readonly gen?: number;
  },
): Promise<{ served: PamError | null; answer: unknown }> {
  const { near, far } = await legs();
  const served = serveResume({
    leg: far,
    context: createStreamContext(instance),
    sessionKey: keyOf(session),
    stream,
    running,
    signal: never,
  });
  const answer = await resumeClientStream({
    leg: near,
    context: createStreamContext(as.identity ?? session),
    verifyInstance: as.verify ?? (() => instanceId),
    stream: streamIdSchema.parse(as.stream ?? stream),
    instance: instanceId,
    gen: as.gen ?? 99,
    received: 0,
    signal: never,
  }).catch((error: PamError) => error);
  return { served: await served, answer };
}

test('[S6] a foreign session key, another stream and an old generation get nothing, and disturb nothing', async () => {
  const port = await listen((socket) => socket.pipe(socket));
  const { user, running, resumes, cut } = await run(port);
  cut();
  user.write('one');
  await once(user, 'data');
  const foreign = await intrude(running, { identity: stranger });
  expect(foreign.served).toMatchObject({ code: 'PAM_REQUEST_INVALID', detail: { why: 'other-key' } });
  expect(foreign.answer).toMatchObject({ code: 'PAM_STREAM_LOST' });
  const other = await intrude(running, { stream: 'T'.repeat(22) });
  expect(other.served).toMatchObject({ code: 'PAM_STREAM_PROTOCOL' });
  expect(other.answer).toMatchObject({ kind: 'gone', code: 'unknown' });
  expect((await intrude(running, { gen: 1 })).answer).toMatchObject({ code: 'PAM_STREAM_LOST' });
  const elsewhere = await intrude(running, { verify: () => instanceIdSchema.parse('j'.repeat(22)) });
  expect(elsewhere.answer).toMatchObject({ code: 'PAM_INSTANCE_UNVERIFIED', detail: { why: 'other-instance' } });
  user.write('two');
  expect(String((await once(user, 'data'))[0])).toBe('two');
  expect(resumes()).toBe(1);
  user.resetAndDestroy();
});
