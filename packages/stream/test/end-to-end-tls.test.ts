import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type ConnectionOptions } from 'node:tls';
import { type InstanceId, instanceIdSchema, PamError, streamIdSchema } from '@sallyport/protocol';
import { newSessionIdentity } from '@sallyport/seal';
import { beforeAll, expect, test } from 'vitest';
import {
  certificateThumbprint,
  createStreamContext,
  openClientStream,
  runInstanceStream,
  type StreamOutcome,
} from '../src/index.ts';
import { judgeClient } from '../src/tls/instance-tls.ts';

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
let expired: Identity;

const derOf = ({ certificatePem }: Identity): Buffer =>
  Buffer.from(certificatePem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');

beforeAll(async () => {
  const nowMs = Date.now();
  instance = await newSessionIdentity(nowMs);
  session = await newSessionIdentity(nowMs);
  stranger = await newSessionIdentity(nowMs);
  expired = await newSessionIdentity(nowMs - 14 * 3_600_000);
});

async function legs(): Promise<{ client: Socket; instance: Socket }> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  client.on('error', () => undefined);
  const [far] = await accepted;
  server.close();
  return { client, instance: far };
}

/** Serves a leg as an instance; tells whether the target would have been dialled. */
function serve(leg: Socket, sessionKey: string): { outcome: Promise<StreamOutcome>; dials: () => number } {
  let dials = 0;
  const outcome = runInstanceStream({
    leg,
    context: createStreamContext(instance),
    sessionKey,
    ready: { requestHash: hash, head: { n: 3, hash }, instance: instanceId },
    stream,
    dial: async () => {
      dials++;
      return { kind: 'refused', class: 'refused', error: new PamError('PAM_TARGET_REFUSED', 'nothing listens') };
    },
    openWithinMs: 60_000,
    signal: never,
  });
  return { outcome, dials: () => dials };
}

function open(leg: Socket, identity: Identity, verify: (der: Uint8Array) => InstanceId = () => instanceId) {
  return openClientStream({
    leg,
    context: createStreamContext(identity),
    verifyInstance: verify,
    approveReady: () => undefined,
    stream,
    openWithinMs: 60_000,
    signal: never,
  });
}

test('speaks TLS 1.3 with both keys, dials only after OPEN, and passes on the refusal of the target', async () => {
  const { client, instance: far } = await legs();
  const served = serve(far, certificateThumbprint(derOf(session)));
  const opening = await open(client, session, (der) => {
    expect(certificateThumbprint(der)).toBe(certificateThumbprint(derOf(instance)));
    return instanceId;
  });
  expect(opening).toMatchObject({ kind: 'refused', class: 'refused', error: { code: 'PAM_TARGET_REFUSED' } });
  expect(await served.outcome).toMatchObject({ reason: 'target-refused', opened: false });
  expect(served.dials()).toBe(1);
});

test.each([
  ['another key', () => stranger, () => certificateThumbprint(derOf(session)), 'other-key'],
  ['an expired certificate', () => expired, () => certificateThumbprint(derOf(expired)), 'expired'],
] as const)('an instance refuses %s, says so inside TLS, and dials nothing', async (_, shown, wanted, why) => {
  const { client, instance: far } = await legs();
  const served = serve(far, wanted());
  const opening = await open(client, shown());
  expect(opening).toMatchObject({
    kind: 'refused',
    class: 'denied',
    error: { code: 'PAM_REQUEST_INVALID', detail: { why } },
  });
  expect(await served.outcome).toMatchObject({ reason: 'not-allowed', opened: false });
  expect(served.dials()).toBe(0);
});

/** A client that is not ours: plain TLS with the options given. */
async function foreignClient(
  options: ConnectionOptions,
): Promise<{ outcome: StreamOutcome; dials: number; said: string }> {
  const { client, instance: far } = await legs();
  const served = serve(far, certificateThumbprint(derOf(session)));
  const tls = connectTls({ socket: client, rejectUnauthorized: false, ...options });
  let said = '';
  tls.on('data', (bytes) => {
    said += bytes.toString('latin1');
  });
  tls.on('error', () => tls.destroy());
  return { outcome: await served.outcome, dials: served.dials(), said };
}
const sessionContext = () => createSecureContext({ cert: session.certificatePem, key: session.privateKeyPem });

test.each([
  ['no certificate', () => ({ ALPNProtocols: ['sallyport/1'] }), 'not-allowed', 'no-certificate'],
  ['no ALPN', () => ({ secureContext: sessionContext() }), 'not-allowed', 'alpn'],
  ['another ALPN', () => ({ secureContext: sessionContext(), ALPNProtocols: ['h2'] }), 'protocol-error', ''],
  [
    'TLS 1.2',
    () => ({
      cert: session.certificatePem,
      key: session.privateKeyPem,
      maxVersion: 'TLSv1.2' as const,
      ALPNProtocols: ['sallyport/1'],
    }),
    'protocol-error',
    '',
  ],
] as const)('an instance refuses a client with %s and dials nothing', async (_, options, reason, why) => {
  const { outcome, dials } = await foreignClient(options());
  expect(outcome).toMatchObject({ reason, opened: false });
  expect(outcome.error?.detail['why'] ?? '').toContain(why);
  expect(dials).toBe(0);
});

test('never resumes a TLS session, and refuses one that says it was', async () => {
  const evidence = {
    getProtocol: () => 'TLSv1.3',
    alpnProtocol: 'sallyport/1',
    isSessionReused: () => true,
    getPeerX509Certificate: () => undefined,
  };
  expect(judgeClient(evidence, hash, 0)).toMatchObject({
    code: 'PAM_REQUEST_INVALID',
    detail: { why: 'session-reused' },
  });
  let ticket: Buffer | undefined;
  for (const session of [undefined, 'offered'] as const) {
    const { client, instance: far } = await legs();
    const served = serve(far, hash);
    const offered = session === 'offered' && ticket !== undefined ? { session: ticket } : {};
    const tls = connectTls({
      socket: client,
      rejectUnauthorized: false,
      secureContext: sessionContext(),
      ALPNProtocols: ['sallyport/1'],
      ...offered,
    });
    tls.on('error', () => tls.destroy());
    tls.on('session', (bytes) => {
      ticket = bytes;
    });
    tls.resume();
    await once(tls, 'secureConnect');
    expect(tls.isSessionReused()).toBe(false);
    await served.outcome;
    expect(served.dials()).toBe(0);
  }
});

test('rubbish, plain HTTP and silence each end in an error of the instance, with nothing dialled', async () => {
  for (const said of ['GET / HTTP/1.1\r\n\r\n', 'x'.repeat(4_096), '']) {
    const { client, instance: far } = await legs();
    const served = serve(far, hash);
    if (said === '') client.destroy();
    else client.write(said);
    expect((await served.outcome).error).toBeInstanceOf(PamError);
    expect(served.dials()).toBe(0);
    client.destroy();
  }
});

test('a client writes nothing to an instance it could not verify, with NODE_TLS_REJECT_UNAUTHORIZED=0 too', async () => {
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
  const { client, instance: far } = await legs();
  const served = serve(far, certificateThumbprint(derOf(session)));
  const opening = open(client, session, () => {
    throw new PamError('PAM_INSTANCE_UNVERIFIED', 'another pool', { detail: { why: 'pool' } });
  });
  await expect(opening).rejects.toMatchObject({ code: 'PAM_INSTANCE_UNVERIFIED', detail: { why: 'pool' } });
  delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
  expect(await served.outcome).toMatchObject({ reason: 'client-lost', opened: false });
  expect(served.dials()).toBe(0);
});

test('a client refuses an instance that answers another request', async () => {
  const { client, instance: far } = await legs();
  const served = serve(far, certificateThumbprint(derOf(session)));
  const opening = openClientStream({
    leg: client,
    context: createStreamContext(session),
    verifyInstance: () => instanceId,
    approveReady: (ready) => {
      if (ready.requestHash !== 'B'.repeat(43)) throw new PamError('PAM_INSTANCE_UNVERIFIED', 'another request');
    },
    stream,
    signal: never,
  });
  await expect(opening).rejects.toMatchObject({ code: 'PAM_INSTANCE_UNVERIFIED' });
  expect((await served.outcome).opened).toBe(false);
  expect(served.dials()).toBe(0);
});

test('a leg that is not half-open is refused before anything is sent', async () => {
  const { client, instance: far } = await legs();
  far.destroy();
  client.allowHalfOpen = false;
  await expect(open(client, session)).rejects.toMatchObject({ code: 'PAM_INTERNAL' });
  client.destroy();
});
