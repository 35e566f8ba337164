import { readdirSync } from 'node:fs';
import type { StreamId } from '@sallyport/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { uid } from './lab/installation.ts';
import { type Lab, roundTrip, startLab } from './lab/lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await startLab();
});
afterAll(async () => {
  await lab.close();
});
const endedEvents = (stream: StreamId) =>
  lab.router.events
    .flatMap(({ events }) => events)
    .filter((event) => event.event === 'ended' && event.stream === stream);

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((turn) => setTimeout(turn, 5));
}

test('a dispatched stream carries bytes both ways, half-closes and is reported with its counts', async () => {
  const dispatched = await lab.dispatch();
  expect(dispatched.result).toEqual({ kind: 'accepted' });
  const text = 'x'.repeat(100_000);
  expect(await roundTrip(await lab.open(dispatched), text)).toBe(text);
  await until(() => endedEvents(dispatched.claims.stream).length > 0);
  expect(endedEvents(dispatched.claims.stream)).toMatchObject([{ bytesUp: 100_000, bytesDown: 100_000 }]);
  const lines = lab.log.filter(({ fields }) => fields['stream'] === dispatched.claims.stream);
  expect(lines.map(({ message }) => message)).toEqual(['stream opened', 'stream ended']);
  expect(lines[0]?.fields).toEqual({
    stream: dispatched.claims.stream,
    session: dispatched.claims.session,
    instance: lab.instance.id,
    resource: lab.resource.uid,
  });
});

test('nothing is dialled between the dispatch and the OPEN of the client', async () => {
  const before = lab.target.accepted.length;
  const dispatched = await lab.dispatch();
  expect(dispatched.result.kind).toBe('accepted');
  lab.link.notify('stream.forget', { stream: dispatched.claims.stream, ticket: dispatched.instanceTicket });
  await until(() => !lab.instance.health().streams);
  expect(lab.target.accepted).toHaveLength(before);
});

test('a signed request dispatched twice makes at most one connection at the target', async () => {
  const before = lab.target.accepted.length;
  const first = await lab.dispatch();
  const again = await lab.dispatch({ claims: first.claims, request: first.request });
  expect(again.result).toMatchObject({ kind: 'refused', class: 'denied', error: { code: 'PAM_REQUEST_INVALID' } });
  expect(await roundTrip(await lab.open(first), 'once')).toBe('once');
  const afterwards = await lab.dispatch({ claims: first.claims, request: first.request });
  expect(afterwards.result).toMatchObject({ kind: 'refused', error: { detail: { why: 'replayed' } } });
  expect(lab.target.accepted).toHaveLength(before + 1);
});

test('a stream that was taken back may be asked for again, by another request; its first attempt says nothing of it', async () => {
  const before = lab.target.accepted.length;
  const first = await lab.dispatch();
  // The router's word to forget the first is still on its way.
  const again = await lab.dispatch({ claims: { ...first.claims, jti: uid() } });
  expect(again.result).toEqual({ kind: 'accepted' });
  lab.link.notify('stream.forget', { stream: first.claims.stream, ticket: first.instanceTicket });
  expect(await roundTrip(await lab.open(again), 'once more')).toBe('once more');
  await until(() => endedEvents(first.claims.stream).length > 0);
  expect(endedEvents(first.claims.stream)).toMatchObject([{ bytesUp: 9, bytesDown: 9 }]);
  expect(lab.target.accepted).toHaveLength(before + 1);
});

test('a stream that is open stays, whoever asks for it again', async () => {
  const before = lab.target.accepted.length;
  const first = await lab.dispatch();
  const opening = await lab.open(first);
  const again = await lab.dispatch({ claims: { ...first.claims, jti: uid() } });
  expect(again.result).toMatchObject({ kind: 'refused', class: 'full', error: { code: 'PAM_DISPATCH_REFUSED' } });
  expect(await roundTrip(opening, 'still here')).toBe('still here');
  expect(lab.target.accepted).toHaveLength(before + 1);
});

test('a dispatch sent again with the same ticket while it waits is the same dispatch', async () => {
  const before = lab.target.accepted.length;
  const first = await lab.dispatch();
  const again = await lab.link.call(
    'stream.dispatch',
    {
      session: first.claims.session,
      stream: first.claims.stream,
      request: first.request,
      ticket: first.instanceTicket,
      epoch: 1,
      parked: false,
      items: [lab.resource, lab.configuration],
      head: lab.installation.head(),
    },
    { timeoutMs: 60_000 },
  );
  expect(again).toEqual({ kind: 'accepted' });
  expect(await roundTrip(await lab.open(first), 'one')).toBe('one');
  expect(lab.target.accepted).toHaveLength(before + 1);
});

test('a killed stream ends with the reason that the router gave', async () => {
  const dispatched = await lab.dispatch();
  const opening = await lab.open(dispatched);
  expect(opening.kind).toBe('opened');
  lab.link.notify('stream.end', { streams: [dispatched.claims.stream], reason: 'signed-out' });
  await until(() => endedEvents(dispatched.claims.stream).length > 0);
  expect(endedEvents(dispatched.claims.stream)).toMatchObject([{ reason: 'signed-out' }]);
});

test('reports continue one signed chain without a gap', async () => {
  const { verifyEvent, eventHash } = await import('@sallyport/seal');
  const hello = await lab.link.hello;
  const { checkInstanceCertificate } = await import('@sallyport/seal');
  const { publicJwk } = await checkInstanceCertificate({
    der: hello.certificate,
    gateway: lab.installation.gateway,
    poolPublicJwk: lab.installation.pool.publicJwk,
    nowMs: Date.now(),
  });
  let prev = '';
  let seq = 0;
  for (const { signed } of lab.router.events) {
    const event = await verifyEvent(signed, publicJwk);
    seq += 1;
    expect(event).toMatchObject({ seq, prev, act: 'stream.events' });
    prev = await eventHash(signed);
  }
  expect(seq).toBeGreaterThan(0);
});

test('file descriptors return to where they were after 200 streams', async () => {
  const count = (): number => readdirSync('/proc/self/fd').length;
  const run = async (): Promise<void> => {
    const dispatched = await lab.dispatch();
    expect(await roundTrip(await lab.open(dispatched), 'tick')).toBe('tick');
  };
  await run();
  await until(() => lab.instance.health().streams === 0);
  const before = count();
  for (let round = 0; round < 20; round++) await Promise.all(Array.from({ length: 10 }, run));
  await until(() => lab.instance.health().streams === 0 && count() <= before);
  expect(count()).toBeLessThanOrEqual(before);
});
