import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCleanup, startChild, startPostgres, whyNoPostgres } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Installation, newInstallation, newMachine, withPool } from './harness/installation.ts';
import type { Instance } from './harness/instance.ts';
import { member } from './harness/json.ts';
import { untilReady, viewInstance, viewPool } from './harness/pool-view.ts';
import { startTrafficTarget, startTrafficUser, type TrafficUser, type UserStream } from './harness/traffic.ts';
import type { Tunnel } from './harness/tunnel.ts';
import { longMs, patience, until } from './harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
const missing = await whyNoPostgres();
let installation: Installation;
let config: string;
let tunnel: Tunnel;
let user: TrafficUser;
let drainFile: string;
let members: Instance[] = [];
let started = 0;

beforeAll(async () => {
  const target = await startTrafficTarget(cleanup.later);
  installation = await newInstallation(cleanup.later, ['--drain-deadline', '600']);
  config = await withPool(installation);
  await newMachine(installation, 'traffic', target);
  members = [await startMember(), await startMember(), await startMember()];
  drainFile = join(installation.folder, 'drains.txt');
  const onDrain = `echo "$PAM_TUNNEL_ID $PAM_DRAIN_INSTANCE $PAM_DRAIN_STREAMS" >> ${drainFile}`;
  tunnel = await installation.openTunnel('traffic', { args: ['--on-drain', onDrain] });
  user = await startTrafficUser(cleanup.later);
});
afterAll(() => cleanup.run());

/** One after the other, so that their admission is their order here. */
async function startMember(): Promise<Instance> {
  started += 1;
  const instance = installation.startInstance(`member-${started}`, config);
  await instance.id();
  return instance;
}

let streams = 0;
/** Streams of about `seconds`, both ways, each byte checked at both ends; all of them have begun. */
async function openStreams(count: number, seconds: number): Promise<readonly UserStream[]> {
  const bytesPerSecond = 262_144;
  const bytes = bytesPerSecond * seconds;
  const opened = Array.from({ length: count }, () => {
    streams += 1;
    return user.open({ id: `s${streams}`, down: bytes, up: bytes, bytesPerSecond }, tunnel.port);
  });
  const before = openedByMembers();
  await Promise.all(opened.map((stream) => stream.first()));
  // Their logs come by another way than the bytes.
  await until('members log them', () => openedByMembers() >= before + count);
  return opened;
}

const openedByMembers = (): number => members.reduce((sum, one) => sum + one.opened().length, 0);

/** A standby takes a slot a moment after it is free, and on a busy machine a member may be suspect for one. */
async function untilTwoServe(): Promise<void> {
  await until('two serve', async () => {
    const { status, max_instances, connected_instances } = await viewPool(installation);
    return status === 'online' && max_instances === 2 && connected_instances === 2;
  });
}

/** Every byte came, both ways, and ended with an end. */
async function expectWhole(opened: readonly UserStream[]): Promise<void> {
  for (const stream of opened) {
    const { down } = stream.order;
    expect(await stream.ended()).toMatchObject({
      how: 'fin',
      wrongAt: null,
      received: down,
      sent: down,
      finAfter: down,
    });
  }
}
const drainLines = (): readonly string[] => tunnel.messages().match(/^instance .* drain.*$/gm) ?? [];
function leastBusy(): readonly Instance[] {
  const least = Math.min(...members.map((one) => one.opened().length));
  return members.filter((one) => one.opened().length === least);
}
const exitOf = async (instance: Instance) => (await instance.child.exited).code;

test('a lowered maximum empties the instance with the fewest streams: they finish, users are told once, it exits 0', async () => {
  // Longer than this machine needs to say that it drains, however busy it is.
  const opened = [...(await openStreams(8, 12))];
  // Turns give 2, 3 and 3; on a machine so busy that one was hedged, one member must have fewer than the others all the same.
  while (leastBusy().length > 1) opened.push(...(await openStreams(1, 12)));
  const [fewest] = leastBusy();
  if (fewest === undefined) return expect.unreachable();
  const count = fewest.opened().length;
  expect(count).toBeGreaterThan(0);
  const id = await fewest.id();
  const answer = await installation.json([
    'gateway',
    'smi',
    '-g',
    'dc1',
    '-m',
    '2',
    '--drain-surplus',
    '--deadline',
    '600',
  ]);
  expect(answer).toMatchObject({ max_instances: 2, drained_instances: [{ instance_id: id, streams: count }] });
  expect(await viewInstance(installation, id)).toMatchObject({ state: 'draining', drain_by: 'surplus' });
  await until('the tunnel says so', () => drainLines().length > 0);
  const ended = fewest.log().filter((line) => line.msg === 'stream ended');
  expect(ended.filter((line) => fewest.opened().includes(String(line['stream'])))).toEqual([]);
  await expectWhole(opened);
  expect(await exitOf(fewest)).toBe(0);
  members = members.filter((one) => one !== fewest);
  expect(drainLines()).toEqual([expect.stringContaining(`(${id}) is over the maximum`)]);
  expect(drainLines()[0]).toContain(`${count} connection`);
  await until('the command has run', () => existsSync(drainFile) && readFileSync(drainFile, 'utf8').includes('\n'));
  expect(readFileSync(drainFile, 'utf8')).toMatch(new RegExp(`^\\S+ ${id} ${count}\\n$`));
  await untilTwoServe();
});

test('a rolling upgrade of all instances under load breaks no stream that ends within the deadline', async () => {
  const all: UserStream[] = [...(await openStreams(8, 4))];
  const old = [...members];
  for (const [at, leaving] of old.entries()) {
    const id = await leaving.id();
    if (at === 0) {
      // One more than the maximum: its successor need not wait for the last stream.
      await installation.pam(['gateway', 'drain', '-g', 'dc1', '-i', id.slice(0, 8), '--replace', '--deadline', '600']);
      members.push(await startMember());
    } else {
      members.push(await startMember());
      leaving.child.kill('SIGTERM');
    }
    all.push(...(await openStreams(4, 3)));
    expect(await exitOf(leaving)).toBe(0);
    members = members.filter((one) => one !== leaving);
  }
  await expectWhole(all);
  expect(members).toHaveLength(2);
  await untilTwoServe();
});

test.skipIf(missing !== null)(
  'an idle psql inside a transaction outlives a cordon and a drain, and commits',
  async () => {
    const server = await startPostgres();
    cleanup.later(() => server.stop());
    await installation.pam([
      ...['record', 'new', 'pamDatabase', '-n', 'orders', '-a', 'prod', '-c', 'dc1-net'],
      ...['--host', '127.0.0.1', '--port', String(server.port), '--field', 'databaseType=postgresql'],
    ]);
    const orders = await installation.openTunnel('orders');
    const before = members.map((one) => one.opened().length);
    const session = startChild(cleanup.later, 'psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1'], {
      env: {
        ...{ PGHOST: orders.host, PGPORT: String(orders.port), PGUSER: 'postgres', PGPASSWORD: 'test-only' },
        ...{ PGDATABASE: 'postgres', PGCONNECT_TIMEOUT: '60' },
      },
    });
    session.write("begin; create table kept (n int); insert into kept values (1); select 'inside';\n");
    await session.waitForLine(/^inside$/, { withinMs: longMs });
    const holder = await until('it is served', () =>
      members.find((one, at) => one.opened().length > (before[at] ?? 0)),
    );
    const id = await holder.id();
    await installation.pam(['gateway', 'cordon', '-g', 'dc1', '-i', id]);
    expect(await viewInstance(installation, id)).toMatchObject({ state: 'cordoned' });
    await installation.pam(['gateway', 'drain', '-g', 'dc1', '-i', id]);
    await installation.pam(['gateway', 'uncordon', '-g', 'dc1', '-i', id], { code: 4 });
    await until('psql’s tunnel says so', () => orders.messages().includes('is drained by an operator'));
    await expectWhole(await openStreams(2, 1));
    session.write('commit; select count(*) from kept;\n');
    await session.waitForLine(/^1$/, { withinMs: longMs });
    session.closeStdin();
    expect((await session.exited).code).toBe(0);
    expect(await exitOf(holder)).toBe(0);
    members = [...members.filter((one) => one !== holder), await startMember()];
  },
);

test('at the deadline what still runs is reset, never ended, and the instance is gone', async () => {
  const [one] = await openStreams(1, 600);
  if (one === undefined) return expect.unreachable();
  const holder = await until('it is served', () =>
    members.find((each) => each.log().at(-1)?.msg === 'stream opened' || (each.opened().length > 0 && isServing(each))),
  );
  await installation.pam(['gateway', 'drain', '-g', 'dc1', '-i', await holder.id(), '--deadline', '1']);
  expect(await one.ended()).toMatchObject({ how: 'ECONNRESET', wrongAt: null, finAfter: null });
  expect(await exitOf(holder)).toBe(0);
  await until('the tunnel says why', () =>
    tunnel.messages().includes('the instance left the pool: its drain was over'),
  );
  members = [...members.filter((each) => each !== holder), await startMember()];
});

function isServing(instance: Instance): boolean {
  const ended = instance.log().filter((line) => line.msg === 'stream ended').length;
  return instance.opened().length > ended;
}

test('a killed session ends its streams and its tunnel, which say by whom and why; a killed stream only itself', async () => {
  const second = await installation.openTunnel('traffic');
  const sessions = member(await installation.json(['session', 'list']), 'sessions');
  const newest = String(member(sessions, 0, 'session_id'));
  const order = (id: string) => ({ id, down: 1_000_000_000, up: 0, bytesPerSecond: 65_536 });
  const [gone, stays] = [user.open(order('gone'), second.port), user.open(order('stays'), second.port)];
  await Promise.all([gone.first(), stays.first()]);
  const rows = member(await installation.json(['session', 'why', newest]), 'streams');
  const stream = String(member(rows, 0, 'stream_id'));
  await installation.pam(['session', 'kill', stream, '--reason', 'one of two']);
  const first = await until('one of them ends', () => gone.end() ?? stays.end());
  expect(first.how).toBe('ECONNRESET');
  await until('it is told', () => second.messages().includes('the stream was ended by anna: one of two'));
  const left = first.id === 'gone' ? stays : gone;
  expect(left.end()).toBeUndefined();
  await installation.pam(['session', 'kill', newest, '--reason', 'night is over']);
  expect(await left.ended()).toMatchObject({ how: 'ECONNRESET' });
  expect(await second.child.exited).toEqual({ code: 4, signal: null });
  expect(second.messages()).toContain('the session was ended by anna: night is over');
  expect(tunnel.messages()).not.toContain('night is over');
});

test('a router that is told to stop lets streams end, takes nothing new with a word, exits 0; a second word ends it', async () => {
  const running = await openStreams(2, 2);
  // Holds the router until the refusal was seen, however slow this machine is.
  const [last] = await openStreams(1, 600);
  const { router } = installation;
  router.child.kill('SIGTERM');
  await router.child.waitForLine(/"msg":"router drains"/, { withinMs: longMs });
  const refused = await installation.pam(['tunnel', 'start', 'traffic', '-p', '0', '--timeout', '20'], { code: null });
  expect([refused.code, refused.stderr]).toEqual([75, expect.stringContaining('PAM_ROUTER_STOPPING')]);
  await expectWhole(running);
  expect(last?.end()).toBeUndefined();
  last?.giveUp();
  expect(await router.child.exited).toEqual({ code: 0, signal: null });
  const again = await installation.restartRouter();
  await Promise.all(members.map(async (one) => untilReady(installation, [await one.id()])));
  const [held] = await openStreams(1, 600);
  again.child.kill('SIGTERM');
  await again.child.waitForLine(/"msg":"router drains"/, { withinMs: longMs });
  expect(held?.end()).toBeUndefined();
  again.child.kill('SIGTERM');
  expect(await again.child.exited).toEqual({ code: 130, signal: null });
});
