import { createCleanup, requireTarget, startHttpTarget } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { curl } from './harness/curl.ts';
import { type Installation, newInstallation, newMachine, withPool } from './harness/installation.ts';
import type { Instance } from './harness/instance.ts';
import { member, members } from './harness/json.ts';
import type { Tunnel } from './harness/tunnel.ts';
import { patience, until } from './harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
const { isMissing } = requireTarget('curl');
let installation: Installation;
let instances: Instance[] = [];
let tunnel: Tunnel;
let target: Awaited<ReturnType<typeof startHttpTarget>>;

beforeAll(async () => {
  target = await startHttpTarget(cleanup.later);
  // Suspicion comes late here, so that the frozen one is still dispatched to on a busy machine.
  installation = await newInstallation(cleanup.later, ['--suspect-ms', '3000', '--cut-ms', '7000']);
  const config = await withPool(installation);
  await newMachine(installation, 'web1', target);
  instances = ['one', 'two', 'three'].map((name) => installation.startInstance(name, config));
  await Promise.all(instances.map((instance) => instance.id()));
  tunnel = await installation.openTunnel('web1');
});
afterAll(() => cleanup.run());

let asked = 0;
async function ask(): Promise<void> {
  asked += 1;
  expect(await curl(`http://${tunnel.host}:${tunnel.port}/`)).toMatchObject({ code: 0 });
}

interface Decided {
  readonly stream: string;
  readonly pick: string;
  readonly cause: string;
  readonly replays: unknown;
}
/** Every decision of the tunnel's session, newest stream first. */
async function decisions(): Promise<readonly Decided[]> {
  const session = member(await installation.json(['session', 'list']), 'sessions', 0, 'session_id');
  const why = await installation.json(['session', 'why', String(session)]);
  return members(why, 'streams').flatMap((stream) =>
    members(stream, 'decisions').map((one) => ({
      stream: String(member(stream, 'stream_id')),
      pick: String(member(one, 'pick')),
      cause: String(member(one, 'cause')),
      replays: member(one, 'replays'),
    })),
  );
}
async function healthOf(id: string): Promise<unknown> {
  const list = await installation.json(['gateway', 'list']);
  const shown = members(member(list, 'gateways', 0), 'instances').find((one) => member(one, 'instance_id') === id);
  return shown === undefined ? 'gone' : member(shown, 'health');
}

test.skipIf(isMissing)(
  'an instance frozen across a dispatch is passed over, and dials nothing when it wakes',
  async () => {
    const [victim] = instances;
    if (victim === undefined) throw new Error('no instance');
    const id = await victim.id();
    let hedged: string | undefined;
    // Whose turn it is depends on what came before; a cycle has three.
    for (let round = 0; round < 10 && hedged === undefined; round += 1) {
      victim.child.kill('SIGSTOP');
      for (let request = 0; request < 3; request += 1) await ask();
      const decided = await decisions();
      hedged = decided.find((one, at) => one.pick === id && decided[at + 1]?.cause === 'hedge')?.stream;
      if (hedged !== undefined) break;
      victim.child.kill('SIGCONT');
      await until('it is well again', async () => ((await healthOf(id)) === 'ok' ? true : undefined));
    }
    expect(hedged).toBeDefined();
    expect(victim.opened()).not.toContain(hedged);
    victim.child.kill('SIGCONT');
    // What it finds in its socket is the dispatch, then the advice to forget it: it looks at it, and ends it.
    await until('the woken instance deals with the dispatch', () =>
      victim.log().find((line) => line['stream'] === hedged && /^(stream ended|dispatch refused)$/.test(line.msg)),
    );
    await until('it is well again', async () => ((await healthOf(id)) === 'ok' ? true : undefined));
    expect(victim.opened()).not.toContain(hedged);
    expect(target.accepted).toHaveLength(asked);
    for (let request = 0; request < 3; request += 1) await ask();
    expect(target.accepted).toHaveLength(asked);
    expect((await decisions()).every((one) => one.replays === true)).toBe(true);
  },
);

test.skipIf(isMissing)(
  'an instance that sleeps until its link is cut asks for its place before it does anything',
  async () => {
    const [victim] = instances;
    if (victim === undefined) throw new Error('no instance');
    const id = await victim.id();
    const readyBefore = victim.log().filter((line) => line.msg === 'ready').length;
    victim.child.kill('SIGSTOP');
    for (let request = 0; request < 3; request += 1) await ask();
    await until('its link is cut', async () => ((await healthOf(id)) === 'absent' ? true : undefined));
    const openedBefore = victim.opened().length;
    victim.child.kill('SIGCONT');
    await until('it is a member again', async () => ((await healthOf(id)) === 'ok' ? true : undefined));
    expect(victim.opened()).toHaveLength(openedBefore);
    expect(target.accepted).toHaveLength(asked);
    for (let request = 0; request < 3; request += 1) await ask();
    await until('it takes its turn again', () => (victim.opened().length > openedBefore ? true : undefined));
    expect(victim.log().filter((line) => line.msg === 'ready').length).toBeGreaterThanOrEqual(readyBefore);
    expect(target.accepted).toHaveLength(asked);
  },
);
