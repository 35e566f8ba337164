import { type InstanceId, instanceIdSchema, PamError } from '@sallyport/protocol';
import { createFakeClock } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import type { ConnectResult } from '../tunnel/stream-opener.ts';
import type { TunnelSession } from '../tunnel/tunnel-session.ts';
import { createChecklist } from './check.ts';
import { addUntried, checkInstances } from './instance-checks.ts';

const id = (n: number): InstanceId => instanceIdSchema.parse(`Instance${n}`.padEnd(22, '0'));

/** A pool whose instances end as told; counts what was opened and what was forgotten. */
function pool(ends: readonly ('opens' | PamError)[]) {
  const seen = { opened: 0, forgotten: 0 };
  const attempt: TunnelSession['attempt'] = async (not, told) => {
    const n = ends.findIndex((_, at) => !not.includes(id(at)));
    if (n < 0) throw new PamError('PAM_POOL_NO_READY_INSTANCE', 'nobody');
    told({ kind: 'dispatched', instance: id(n) });
    const end = ends[n];
    if (end instanceof PamError) {
      if (end.code === 'PAM_LEG_FAILED') throw end;
      for (const kind of ['leg', 'handshake', 'ready', 'dialing'] as const) told({ kind });
      return { kind: 'refused', class: 'refused', error: end };
    }
    for (const kind of ['leg', 'handshake', 'ready', 'dialing'] as const) told({ kind });
    seen.opened++;
    const stream = { instance: id(n), forget: () => void seen.forgotten++, splice: () => Promise.reject(new Error()) };
    return { kind: 'opened', stream } satisfies ConnectResult;
  };
  return { seen, attempt };
}

async function look(ends: readonly ('opens' | PamError)[]) {
  const life = new AbortController().signal;
  const list = createChecklist(createFakeClock(), life, () => undefined);
  const parts = pool(ends);
  const deps = { clock: createFakeClock(), life, title: (one: InstanceId) => one, ready: [...ends.keys()].map(id) };
  const tried = await checkInstances(list, deps, parts);
  return { list, tried, seen: parts.seen };
}

test('every instance is tried once, each with the word of its own target dial, and no stream is left', async () => {
  const { list, tried, seen } = await look([
    'opens',
    new PamError('PAM_TARGET_REFUSED', '10.0.0.5:22 refused the connection'),
    new PamError('PAM_LEG_FAILED', 'no leg'),
    'opens',
  ]);
  expect(tried).toEqual([id(0), id(1), id(2), id(3)]);
  expect(list.checks.map((check) => [check.status, check.code])).toEqual([
    ['ok', null],
    ['failed', 'PAM_TARGET_REFUSED'],
    ['failed', 'PAM_LEG_FAILED'],
    ['ok', null],
  ]);
  expect(list.checks[1]?.text).toMatch(/^target: /);
  expect(list.checks[2]?.text).toMatch(/^data connection: /);
  expect(seen).toEqual({ opened: 2, forgotten: 2 });
});

test('a router that has nobody to give is one failure of its own', async () => {
  const { list } = await look([]);
  expect(list.checks).toMatchObject([{ id: 'dispatch', status: 'failed', code: 'PAM_POOL_NO_READY_INSTANCE' }]);
});

test('a router that gives the same instance for ever does not keep the diagnosis busy', async () => {
  const life = new AbortController().signal;
  const list = createChecklist(createFakeClock(), life, () => undefined);
  const one = pool(['opens']);
  const attempt: TunnelSession['attempt'] = (_, told, signal) => one.attempt([], told, signal);
  await checkInstances(list, { clock: createFakeClock(), life, title: String, ready: [id(0), id(1)] }, { attempt });
  expect(list.checks).toHaveLength(1);
  expect(one.seen).toEqual({ opened: 2, forgotten: 2 });
});

test('members that could not be tried are listed with their state; a standby is nothing to worry about', () => {
  const list = createChecklist(createFakeClock(), new AbortController().signal, () => undefined);
  const member = { reason: '', deviceName: 'host' };
  const members = [
    { ...member, instanceId: id(0), state: 'ready' },
    { ...member, instanceId: id(1), state: 'standby' },
    { ...member, instanceId: id(2), state: 'suspect' },
  ] as const;
  addUntried(list, members, [id(0)]);
  expect(list.checks.map((check) => [check.status, check.text])).toEqual([
    ['ok', 'not tried: standby'],
    ['warning', 'not tried: suspect'],
  ]);
});
