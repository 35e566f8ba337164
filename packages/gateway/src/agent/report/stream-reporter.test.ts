import { type LinkParams, PamError, type StreamId, streamIdSchema } from '@sallyport/protocol';
import { digestOf, eventHash, newSigningKey, type SigningKey, verifyEvent } from '@sallyport/seal';
import { beforeAll, expect, test } from 'vitest';
import type { Log, Runtime } from '../runtime.ts';
import { createEventChain } from './event-chain.ts';
import { createStreamReporter } from './stream-reporter.ts';

type Sent = LinkParams<'stream.events'>;
let key: SigningKey;
beforeAll(async () => {
  key = await newSigningKey();
});
const silent: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const id = (number: number): StreamId => streamIdSchema.parse(`S${String(number).padStart(21, '0')}`);

/** Timers that the test fires. */
function runtime(): Runtime & { readonly due: (() => void)[] } {
  const due: (() => void)[] = [];
  return {
    due,
    nowMs: () => 1_000_000,
    monotonicMs: () => 0,
    random: () => 0,
    schedule: (_ms, fn) => (due.push(fn), () => undefined),
  };
}

test('while the link is away events are kept, then sent as one signed chain', async () => {
  const reporter = createStreamReporter(createEventChain(key, runtime().nowMs), runtime(), silent);
  for (let at = 0; at < 100; at++) reporter.add({ event: 'opened', stream: id(at), atMs: at });
  const sent: Sent[] = [];
  reporter.attach(async (params) => sent.push(params));
  await reporter.flushed();
  expect(sent.map(({ events }) => events.length)).toEqual([64, 36]);
  let prev = '';
  for (const [at, { events, signed }] of sent.entries()) {
    const event = await verifyEvent(signed, key.publicJwk);
    expect(event).toMatchObject({ actor: key.id, seq: at + 1, prev, digest: await digestOf(events) });
    prev = await eventHash(signed);
  }
});

test('a batch whose answer was lost is sent again as it was signed', async () => {
  const time = runtime();
  const reporter = createStreamReporter(createEventChain(key, time.nowMs), time, silent);
  const sent: Sent[] = [];
  let fails = true;
  reporter.attach(async (params) => {
    sent.push(params);
    if (fails) throw new PamError('PAM_TIMEOUT', 'no answer');
  });
  reporter.add({ event: 'opened', stream: id(1), atMs: 1 });
  await reporter.flushed();
  fails = false;
  time.due.at(-1)?.();
  await reporter.flushed();
  expect(sent).toHaveLength(2);
  expect(sent[1]).toEqual(sent[0]);
});

test('it continues from where the router says the chain stands, but never signs a number twice', async () => {
  const time = runtime();
  const lost: string[] = [];
  const chain = createEventChain(key, time.nowMs, ({ code }) => void lost.push(code));
  const reporter = createStreamReporter(chain, time, silent);
  const sent: Sent[] = [];
  const hash = 'h'.repeat(43);
  let stored: number | null = 7;
  reporter.attach(async (params) => {
    sent.push(params);
    const claim = stored;
    if (claim === null) return;
    stored = claim === 7 ? null : claim;
    throw new PamError('PAM_AUDIT_SEQUENCE', 'no', { detail: { stored: claim, storedHash: hash } });
  });
  reporter.add({ event: 'opened', stream: id(1), atMs: 1 });
  await reporter.flushed();
  expect(await verifyEvent(sent[1]?.signed ?? '', key.publicJwk)).toMatchObject({ seq: 8, prev: hash });
  expect(lost).toEqual([]);
  stored = 3;
  reporter.add({ event: 'opened', stream: id(2), atMs: 2 });
  await reporter.flushed();
  const seqs = await Promise.all(
    sent.slice(2).map(async ({ signed }) => (await verifyEvent(signed, key.publicJwk)).seq),
  );
  expect(seqs).toEqual([9]);
  expect(lost).toEqual(['PAM_AUDIT_BROKEN']);
});
