import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCleanup, requireTarget, startHttpTarget } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { curl } from './harness/curl.ts';
import { cutOffOptions } from './harness/cut-off.ts';
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
  flag = join(installation.folder, 'cut-off');
  const cutOff = { env: { NODE_OPTIONS: cutOffOptions(target.port, flag) } };
  instances = ['one', 'two'].map((name) => installation.startInstance(name, config));
  instances.push(installation.startInstance('three', config, cutOff));
  await Promise.all(instances.map((instance) => instance.id()));
  tunnel = await installation.openTunnel('web1');
});
afterAll(() => cleanup.run());

let flag = '';
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

test.skipIf(isMissing)(
  'an instance cut off from one target is passed over for it alone, and is back after a probe',
  async () => {
    const cut = instances[2];
    if (cut === undefined) throw new Error('no instance');
    const id = await cut.id();
    const servedBefore = cut.opened().length;
    const info = async (): Promise<string> => (await installation.pam(['gateway', 'info', '-g', 'dc1'])).stdout;
    writeFileSync(flag, '');
    // Every request is answered: the one that goes there is tried once elsewhere.
    const why = await until('why says that it is passed over', async () => {
      await ask();
      const { stdout } = await installation.pam(['session', 'why', 'last']);
      return stdout.includes(' ejected: could not reach this resource') ? stdout : undefined;
    });
    expect(why).toMatch(new RegExp(`${id} +1 +ejected: could not reach this resource \\(\\d in a row\\) until 20`));
    expect(why).toContain('replayed from these candidates and that turn: the same choice');
    expect(await info()).toContain('cannot reach 1 target that others reach');
    expect(cut.opened()).toHaveLength(servedBefore);
    // Other targets keep all three.
    await newMachine(installation, 'web2', await startHttpTarget(cleanup.later));
    const aside = await installation.openTunnel('web2');
    await until('it serves the other target in its turn', async () => {
      expect(await curl(`http://${aside.host}:${aside.port}/`)).toMatchObject({ code: 0 });
      return cut.opened().length > servedBefore ? true : undefined;
    });
    rmSync(flag);
    const before = cut.opened().length;
    await until('a probe brings it back', async () => {
      await ask();
      return cut.opened().length > before ? true : undefined;
    });
    expect(target.accepted).toHaveLength(asked);
    await until('and nothing is said of it any more', async () => !(await info()).includes('cannot reach'));
  },
);
