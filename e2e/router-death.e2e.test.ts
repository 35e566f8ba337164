import { setTimeout as pause } from 'node:timers/promises';
import { createCleanup, createSeededRandom, startHttpTarget } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { curl } from './harness/curl.ts';
import { type Installation, newInstallation, newMachine, withPool } from './harness/installation.ts';
import type { Instance } from './harness/instance.ts';
import { member, members } from './harness/json.ts';
import type { Tunnel } from './harness/tunnel.ts';

import { patience, until } from './harness/until.ts';

vi.setConfig(patience);

const rounds = 6;
const cleanup = createCleanup();
let installation: Installation;
let instances: readonly Instance[] = [];
let tunnel: Tunnel;

beforeAll(async () => {
  const target = await startHttpTarget(cleanup.later);
  installation = await newInstallation(cleanup.later);
  const config = await withPool(installation);
  await newMachine(installation, 'web1', target);
  instances = ['one', 'two', 'three'].map((name) => installation.startInstance(name, config));
  await Promise.all(instances.map((instance) => instance.id()));
  tunnel = await installation.openTunnel('web1');
});
afterAll(() => cleanup.run());

async function titles(): Promise<readonly string[]> {
  return members(await installation.json(['record', 'list']), 'records').map((record) =>
    String(member(record, 'title')),
  );
}

/** Writes records one after the other until told to stop; gives the titles that were acknowledged. */
async function write(round: number, stopped: () => boolean): Promise<readonly string[]> {
  const acknowledged: string[] = [];
  for (let n = 0; !stopped(); n += 1) {
    const title = `record ${round}.${n}`;
    const args = ['record', 'new', 'pamMachine', '-n', title, '-a', 'prod', '-c', 'dc1-net'];
    const run = await installation.pam([...args, '--host', '127.0.0.1', '--port', '22'], { code: null });
    if (run.code === 0) acknowledged.push(title);
  }
  return acknowledged;
}

test('a router killed at random while records are written has every one that it acknowledged', {
  timeout: 180_000,
}, async () => {
  const random = createSeededRandom(20261123);
  const all: string[] = [];
  for (let round = 0; round < rounds; round += 1) {
    let down = false;
    const writing = write(round, () => down);
    // The moment is the point of this test: anywhere in the life of two or three writes.
    await pause(200 + random.next() * 1_500);
    const restarted = installation.restartRouter('SIGKILL');
    down = true;
    all.push(...(await writing));
    await restarted;
    const present = new Set(await titles());
    expect(all.filter((title) => !present.has(title))).toEqual([]);
  }
  expect(all.length).toBeGreaterThan(0);
  expect((await installation.pam(['audit', 'verify'])).code).toBe(0);
  expect((await installation.pam(['trust', 'verify'])).code).toBe(0);
});

test('after a router died its pool is back by itself, and a tunnel that was open serves new connections', async () => {
  await installation.restartRouter('SIGKILL');
  await until(
    'the old tunnel serves again',
    async () => (await curl(`http://${tunnel.host}:${tunnel.port}/`)).code === 0,
  );
  await until('all three are members again', async () => {
    const list = await installation.json(['gateway', 'list']);
    return (
      member(list, 'gateways', 0, 'connected_instances') === 3 && member(list, 'gateways', 0, 'status') === 'online'
    );
  });
  const ids = await Promise.all(instances.map((instance) => instance.id()));
  const listed = members(await installation.json(['gateway', 'list']), 'gateways', 0, 'instances');
  expect(listed.map((one) => String(member(one, 'instance_id'))).toSorted()).toEqual(ids.toSorted());
});
