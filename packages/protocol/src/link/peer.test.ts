import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PamError } from '../errors/pam-error.ts';
import { linkLimits } from './messages.ts';
import { createPeer, type LinkHandlers, type Peer } from './peer.ts';

const hash = 'h'.repeat(43);
const refused = (): Promise<never> => Promise.reject(new PamError('PAM_NOT_ALLOWED', 'not in this test'));

const routerHandlers: LinkHandlers<'router'> = {
  'link.hello': refused,
  'link.bye': async () => ({}),
  'link.drain': async () => ({}),
  'log.give-back': async () => ({ head: { n: 0, hash: 'a'.repeat(43) } }),
  'log.read': async ({ from }) => ({ entries: [], head: { n: from, hash } }),
  'stream.events': refused,
};
const instanceHandlers: LinkHandlers<'instance'> = {
  'link.challenge': async () => ({}),
  'link.membership': async () => ({}),
  'link.intent': async () => ({}),
  'link.duplicate': async () => ({}),
  'vault.changed': async () => ({}),
  'stream.dispatch': refused,
  'stream.resume': async () => ({ kind: 'accepted' }),
  'stream.forget': async () => ({}),
  'stream.end': async () => ({}),
  'leg.park': async () => ({}),
};

function pair(handlers: LinkHandlers<'router'> = routerHandlers) {
  const timers: { ms: number; fn: () => void }[] = [];
  const broken: PamError[] = [];
  const unexpected: unknown[] = [];
  const schedule = (ms: number, fn: () => void) => {
    const timer = { ms, fn };
    timers.push(timer);
    return () => void timers.splice(timers.indexOf(timer), timers.includes(timer) ? 1 : 0);
  };
  const shared = {
    schedule,
    onBroken: (error: PamError) => void broken.push(error),
    onHandlerError: (_method: string, error: unknown) => void unexpected.push(error),
  };
  const router: Peer<'router'> = createPeer({
    ...shared,
    side: 'router',
    handlers,
    send: (text) => instance.receive(text),
  });
  const instance: Peer<'instance'> = createPeer({
    ...shared,
    side: 'instance',
    handlers: instanceHandlers,
    send: (text) => router.receive(text),
  });
  return { router, instance, timers, broken, unexpected };
}

test('a call is answered with what the handler returned', async () => {
  const { instance, timers } = pair();
  await expect(instance.call('log.read', { from: 3 }, { timeoutMs: 1_000 })).resolves.toEqual({
    entries: [],
    head: { n: 3, hash },
  });
  expect(timers).toHaveLength(0);
});

test('an error keeps its code, message, remedy and detail on the way to the caller', async () => {
  const { instance } = pair({
    ...routerHandlers,
    'log.read': () => Promise.reject(new PamError('PAM_POOL_FULL', 'pool full: maximum 3', { detail: { maximum: 3 } })),
  });
  await expect(instance.call('log.read', { from: 0 }, { timeoutMs: 1 })).rejects.toMatchObject({
    code: 'PAM_POOL_FULL',
    message: 'pool full: maximum 3',
    detail: { maximum: 3 },
  });
});

test('an unexpected error of a handler shows nothing of itself to the peer', async () => {
  const { instance, unexpected } = pair({
    ...routerHandlers,
    'log.read': () => Promise.reject(new TypeError('secret path')),
  });
  const error = await instance.call('log.read', { from: 0 }, { timeoutMs: 1 }).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: 'PAM_INTERNAL' });
  expect(String(error)).not.toContain('secret path');
  expect(unexpected).toHaveLength(1);
});

test('a call ends by its timer, by its signal, and by the end of the link', async () => {
  const { instance, timers } = pair({ ...routerHandlers, 'log.read': () => new Promise(() => undefined) });
  const late = instance.call('log.read', { from: 0 }, { timeoutMs: 5 });
  timers[0]?.fn();
  await expect(late).rejects.toMatchObject({ code: 'PAM_TIMEOUT' });

  const controller = new AbortController();
  const cancelled = instance.call('log.read', { from: 0 }, { timeoutMs: 5, signal: controller.signal });
  controller.abort();
  await expect(cancelled).rejects.toMatchObject({ code: 'PAM_INTERRUPTED' });

  const lost = instance.call('log.read', { from: 0 }, { timeoutMs: 5 });
  instance.close(new PamError('PAM_LEG_FAILED', 'the link closed'));
  await expect(lost).rejects.toMatchObject({ code: 'PAM_LEG_FAILED' });
  await expect(instance.call('log.read', { from: 0 }, { timeoutMs: 5 })).rejects.toMatchObject({
    code: 'PAM_LEG_FAILED',
  });
  expect(timers).toHaveLength(0);
});

test('handlers in progress are told when the link ends', async () => {
  let seen: AbortSignal | undefined;
  const { instance, router } = pair({
    ...routerHandlers,
    'log.read': (_params, signal) => {
      seen = signal;
      return new Promise(() => undefined);
    },
  });
  instance.call('log.read', { from: 0 }, { timeoutMs: 5 }).catch(() => undefined);
  router.close(new PamError('PAM_LEG_FAILED', 'gone'));
  expect(seen?.aborted).toBe(true);
});

test('a method of the wrong direction or an unknown one is refused, and the link lives on', async () => {
  const { router, broken } = pair();
  const sent: string[] = [];
  const alone = createPeer({
    side: 'router',
    handlers: routerHandlers,
    send: (text) => void sent.push(text),
    schedule: () => () => undefined,
    onBroken: (error) => void broken.push(error),
    onHandlerError: () => undefined,
  });
  alone.receive(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'stream.dispatch', params: {} }));
  alone.receive(JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'constructor', params: {} }));
  alone.receive(JSON.stringify({ jsonrpc: '2.0', method: '$/cancelRequest' }));
  expect(sent).toHaveLength(2);
  expect(sent.every((text) => text.includes('PAM_BAD_REQUEST'))).toBe(true);
  expect(broken).toHaveLength(0);
  router.close(new PamError('PAM_LEG_FAILED', 'done'));
});

test('one call more than allowed at once is refused, the others go on', () => {
  const sent: string[] = [];
  const peer = createPeer({
    side: 'router',
    handlers: { ...routerHandlers, 'log.read': () => new Promise(() => undefined) },
    send: (text) => void sent.push(text),
    schedule: () => () => undefined,
    onBroken: () => undefined,
    onHandlerError: () => undefined,
  });
  for (let id = 0; id <= linkLimits.openCalls; id++) {
    peer.receive(JSON.stringify({ jsonrpc: '2.0', id, method: 'log.read', params: { from: 0 } }));
  }
  expect(sent).toHaveLength(1);
  expect(sent[0]).toContain('PAM_RATE_LIMITED');
});

test('rubbish never throws: it breaks the link or is refused', () => {
  const jsonish = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .record(
        { jsonrpc: fc.constantFrom('2.0', '1.0'), id: fc.anything(), method: fc.string(), params: fc.anything() },
        { requiredKeys: [] },
      )
      .map((value) => JSON.stringify(value, (_key, inner: unknown) => (typeof inner === 'bigint' ? 0 : inner)) ?? ''),
    fc.constant('['.repeat(100_000)),
    fc.constant('x'.repeat(linkLimits.messageBytes + 1)),
  );
  fc.assert(
    fc.property(jsonish, (text) => {
      const peer = createPeer({
        side: 'router',
        handlers: routerHandlers,
        send: () => undefined,
        schedule: () => () => undefined,
        onBroken: () => undefined,
        onHandlerError: () => undefined,
      });
      expect(() => peer.receive(text)).not.toThrow();
    }),
  );
});
