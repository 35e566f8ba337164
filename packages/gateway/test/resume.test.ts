import { createHash, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { LinkResult, Notice, SessionId, StreamId } from '@sallyport/protocol';
import { newSessionIdentity, type SessionIdentity } from '@sallyport/seal';
import {
  connectLeg,
  createStreamContext,
  decodeTicket,
  type Reattach,
  type Reattached,
  resumeClientStream,
  type StreamOutcome,
} from '@sallyport/stream';
import { afterEach, expect, test } from 'vitest';
import { systemRuntime } from '../src/index.ts';
import { type Dispatched, type Lab, localPair, startLab } from './lab/lab.ts';
import { newTicket } from './lab/scripted-router.ts';

let lab: Lab;
afterEach(async () => {
  await lab.close();
});
const never = new AbortController().signal;

/** What an honest router does at `resumeStream`. */
async function askForLeg(
  session: SessionId,
  stream: StreamId,
): Promise<{ answer: LinkResult<'stream.resume'>; clientTicket: string }> {
  const [clientTicket, ticket] = [newTicket(), newTicket()];
  lab.router.pair(clientTicket, ticket);
  const link = lab.router.links.at(-1) ?? lab.link;
  const answer = await link.call('stream.resume', { session, stream, ticket }, { timeoutMs: 60_000 });
  return { answer, clientTicket };
}

async function resumeAs(
  dispatched: Dispatched,
  of: { readonly gen: number; readonly received: number; readonly identity?: SessionIdentity },
): Promise<Reattached> {
  const { session, stream } = dispatched.claims;
  const { answer, clientTicket } = await askForLeg(session, stream);
  if (answer.kind === 'refused') throw new Error(answer.error.code);
  const address = { host: '127.0.0.1', port: lab.router.port };
  const leg = await connectLeg({ address, role: 'client', ticket: decodeTicket(clientTicket), signal: never });
  return resumeClientStream({
    leg,
    context: createStreamContext(of.identity ?? lab.session),
    verifyInstance: () => lab.instance.id,
    stream,
    instance: lab.instance.id,
    gen: of.gen,
    received: of.received,
    signal: never,
  });
}

interface Open {
  readonly dispatched: Dispatched;
  readonly user: Socket;
  readonly outcome: Promise<StreamOutcome>;
}

/** An open stream through the lab; redials by `reattach`. */
async function open(reattach: (dispatched: Dispatched) => Reattach, until?: number): Promise<Open> {
  const dispatched = await lab.dispatch(until === undefined ? {} : { claims: lab.claims({ until }) });
  const opening = await lab.open(dispatched);
  if (opening.kind !== 'opened') throw new Error('not opened');
  const { local, user } = await localPair();
  const outcome = opening.stream.splice(local, never, { reattach: reattach(dispatched) });
  user.write('hello');
  await new Promise((got) => user.once('data', got));
  return { dispatched, user, outcome };
}
const honest =
  (dispatched: Dispatched): Reattach =>
  ({ gen, received }) =>
    resumeAs(dispatched, { gen: gen + 1, received });
const waits = (): Reattach => (_, signal) =>
  new Promise((_found, reject) => signal.addEventListener('abort', () => reject(new Error('not wanted'))));

const eventsOf = (stream: string): readonly string[] =>
  lab.router.events
    .flatMap(({ events }) => events)
    .filter((one) => one.stream === stream)
    .map(({ event }) => event);

test('a stream whose legs are cut goes on over others, byte for byte, and both changes are reported', async () => {
  lab = await startLab();
  const { dispatched, user, outcome } = await open(honest);
  const bytes = randomBytes(4 * 1024 * 1024);
  const seen = createHash('sha256');
  user.on('data', (chunk: Buffer) => seen.update(chunk));
  user.end(bytes);
  lab.router.cutLegs();
  await new Promise((ended) => user.once('end', ended));
  expect(seen.digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'));
  expect((await outcome).error).toBeNull();
  const { stream } = dispatched.claims;
  await expect.poll(() => eventsOf(stream), { timeout: 60_000 }).toEqual(['opened', 'detached', 'resumed', 'ended']);
});

test('an unknown stream and one of another session are refused, and a flood of legs is', async () => {
  lab = await startLab();
  const { dispatched, user } = await open(waits);
  const { session, stream } = dispatched.claims;
  const refused = { kind: 'refused', error: { code: 'PAM_STREAM_GONE' } };
  expect((await askForLeg(session, lab.claims().stream)).answer).toMatchObject(refused);
  expect((await askForLeg(lab.claims().session, stream)).answer).toMatchObject(refused);
  const answers = [];
  for (let n = 0; n < 6; n++) answers.push((await askForLeg(session, stream)).answer);
  expect(answers.slice(0, 4)).toEqual(Array.from({ length: 4 }, () => ({ kind: 'accepted' })));
  expect(answers.at(-1)).toMatchObject({ kind: 'refused', error: { code: 'PAM_RATE_LIMITED' } });
  user.write('still here');
  expect(String(await new Promise((got) => user.once('data', got)))).toBe('still here');
  user.resetAndDestroy();
});

test('who holds another session key gets nothing, and the stream goes on over the carrier it has', async () => {
  lab = await startLab();
  const { dispatched, user } = await open(waits);
  const identity = await newSessionIdentity(Date.now());
  await expect(resumeAs(dispatched, { gen: 50, received: 0, identity })).rejects.toMatchObject({
    code: 'PAM_STREAM_LOST',
  });
  user.write('still here');
  expect(String(await new Promise((got) => user.once('data', got)))).toBe('still here');
  user.resetAndDestroy();
});

test('a kill ends a stream that is detached, and who resumes afterwards is told that it is gone', async () => {
  lab = await startLab();
  const { dispatched, user } = await open(waits);
  user.on('error', () => undefined);
  const { session, stream } = dispatched.claims;
  lab.router.cutLegs();
  await expect.poll(() => eventsOf(stream), { timeout: 60_000 }).toContain('detached');
  (lab.router.links.at(-1) ?? lab.link).notify('stream.end', { streams: [stream], reason: 'stopped' });
  await expect.poll(() => eventsOf(stream), { timeout: 60_000 }).toContain('ended');
  expect(await resumeAs(dispatched, { gen: 2, received: 0 })).toMatchObject({
    kind: 'gone',
    code: 'ended',
    final: false,
  });
  expect((await askForLeg(session, stream)).answer).toEqual({ kind: 'accepted' });
  user.destroy();
});

test('a detached stream ends when its signed request does', async () => {
  lab = await startLab();
  const { dispatched, user } = await open(waits, Math.floor(Date.now() / 1_000) + 8);
  user.on('error', () => undefined);
  lab.router.cutLegs();
  const { stream } = dispatched.claims;
  await expect.poll(() => eventsOf(stream), { timeout: 60_000 }).toContain('ended');
  const ended = lab.router.events.flatMap(({ events }) => events).find((one) => one.event === 'ended');
  expect(ended).toMatchObject({ stream, reason: 'deadline' });
  user.destroy();
});

test('a stream ends as soon as the log says that its device was removed, also one that runs well', async () => {
  lab = await startLab();
  const { dispatched, user, outcome } = await open(waits);
  user.on('error', () => undefined);
  const { installation } = lab;
  await installation.append({ kind: 'router-pin', pins: [lab.router.identity.pin] });
  lab.link.notify('vault.changed', { head: installation.head(), items: [] });
  user.write('still here');
  expect(String(await new Promise((got) => user.once('data', got)))).toBe('still here');
  await installation.append({ kind: 'device-removed', device: installation.deviceId });
  lab.link.notify('vault.changed', { head: installation.head(), items: [] });
  expect((await outcome).reason).toBe('stopped');
  const { stream } = dispatched.claims;
  await expect.poll(() => eventsOf(stream), { timeout: 60_000 }).toContain('ended');
  const ended = lab.router.events.flatMap(({ events }) => events).find((one) => one.event === 'ended');
  expect(ended).toMatchObject({ stream, reason: 'not-allowed' });
  user.destroy();
});

test('a stream whose time ran out while the machine slept ends when its link is back', async () => {
  let sleptMs = 0;
  lab = await startLab({ runtime: { ...systemRuntime, nowMs: () => systemRuntime.nowMs() + sleptMs } });
  const { dispatched, user, outcome } = await open(waits, Math.floor(Date.now() / 1_000) + 40);
  user.on('error', () => undefined);
  // Below what two clocks may differ by.
  sleptMs = 50_000;
  lab.link.cut();
  expect((await outcome).reason).toBe('deadline');
  await expect.poll(() => eventsOf(dispatched.claims.stream), { timeout: 60_000 }).toContain('ended');
  user.destroy();
});

test('a stream that nobody resumes ends by its limit, and its target is reset', async () => {
  lab = await startLab({ detachedMs: 500 });
  const { dispatched, user } = await open(waits);
  user.on('error', () => undefined);
  lab.router.cutLegs();
  await expect.poll(() => eventsOf(dispatched.claims.stream), { timeout: 60_000 }).toContain('ended');
  const ended = lab.router.events.flatMap(({ events }) => events).find((one) => one.event === 'ended');
  expect(ended).toMatchObject({ reason: 'detached-timeout' });
  user.destroy();
});

test('a draining instance takes a stream back whose legs were cut, says so on the next carrier, and waits for its end', async () => {
  lab = await startLab();
  const dispatched = await lab.dispatch();
  const opening = await lab.open(dispatched);
  if (opening.kind !== 'opened') return expect.unreachable();
  const { promise: drained, resolve: drains } = Promise.withResolvers<void>();
  const { promise: notice, resolve: noticed } = Promise.withResolvers<Notice>();
  const reattach: Reattach = async ({ gen, received }) => {
    await drained;
    return resumeAs(dispatched, { gen: gen + 1, received });
  };
  const { local, user } = await localPair();
  const outcome = opening.stream.splice(local, never, { reattach }, noticed);
  const { stream } = dispatched.claims;
  lab.router.cutLegs();
  await expect.poll(() => eventsOf(stream), { timeout: 60_000 }).toContain('detached');
  lab.instance.drain(600_000);
  user.write('nothing was on its way');
  drains();
  expect(String(await new Promise((got) => user.once('data', got)))).toBe('nothing was on its way');
  expect((await notice).deadlineInMs).toBeLessThanOrEqual(600_000);
  expect(lab.router.byes).toEqual([]);
  user.end();
  expect((await outcome).error).toBeNull();
  expect(await lab.instance.left).toBe('drained');
});
