import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Cli } from '../cli.ts';
import { run as stop } from '../commands/tunnel-stop.ts';
import { openProfileStore } from '../profile/profile-store.ts';
import { systemClock } from '../time/system-clock.ts';
import { listen } from './listener.ts';
import { isSameProcess, processStart } from './process-identity.ts';
import { newTunnelId, openTunnelRegistry, type TunnelEntry } from './registry.ts';

const code = (wanted: string) => expect.objectContaining({ code: wanted });

async function home(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'pam-tunnels-'));
  onTestFinished(async () => rm(made, { recursive: true, force: true }));
  return made;
}

async function sleeper(): Promise<{ readonly pid: number; readonly gone: Promise<unknown> }> {
  const child = spawn(process.execPath, ['-e', "console.log('up'); setInterval(() => 0, 1e6)"], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return { pid: child.pid ?? 0, gone: new Promise((resolve) => child.on('exit', resolve)) };
}

const entry = (pid: number, start: string, port = 49_152): TunnelEntry => ({
  v: 1,
  id: newTunnelId(),
  pid,
  processStart: start,
  recordUid: 'R234567890123456789012',
  recordTitle: 'web1',
  gatewayTitle: 'dc1',
  target: '10.0.0.5:22',
  host: '127.0.0.1',
  port,
  mode: 'background',
  startedAtMs: 1,
  log: null,
  state: { kind: 'ready', sinceMs: null, streams: 0 },
});

async function fakeCli() {
  const folder = await home();
  const signal = new AbortController().signal;
  const store = openProfileStore(folder, 'default', { clock: systemClock, signal });
  const hash = 'h'.repeat(43);
  const person = { uid: 'P234567890123456789012' as never, name: 'anna' };
  await store.writeProfile({ v: 1, router: 'h:1', pins: [hash], anchor: hash, floor: { n: 1, hash }, person });
  const terminal = { err: () => undefined, out: () => undefined };
  const cli = {
    terminal,
    clock: systemClock,
    env: {},
    home: folder,
    profileName: undefined,
    proxy: undefined,
    carrier: undefined,
    format: 'table',
    signal,
  } as unknown as Cli;
  return { cli, registry: openTunnelRegistry(store.folder) };
}

test('a process is known by its start, so one that got the number later is another', async () => {
  const { pid } = await sleeper();
  const start = await processStart(pid);
  expect(start).toEqual(expect.any(String));
  expect(await isSameProcess(pid, start ?? '')).toBe(true);
  expect(await isSameProcess(process.pid, start ?? '')).toBe(false);
  expect(await processStart(2 ** 22 + 1)).toBeNull();
});

test('a tunnel whose process is gone, or whose number belongs to another now, is not listed and forgotten', async () => {
  const { registry } = await fakeCli();
  const { pid } = await sleeper();
  const alive = entry(pid, (await processStart(pid)) ?? '');
  for (const one of [alive, entry(pid, 'another start'), entry(2 ** 22 + 1, 'x')]) await registry.add(one);
  await writeFile(join(registry.folder, 'garbage1.json'), '{');
  expect(await registry.list()).toEqual([alive]);
  expect(await readdir(registry.folder)).toEqual([`${alive.id}.json`]);
});

test('stop ends the tunnel named by id, record or port', async () => {
  const { cli, registry } = await fakeCli();
  for (const name of ['id', 'R234567890123456789012', 'web1', '49152'] as const) {
    const { pid, gone } = await sleeper();
    const one = entry(pid, (await processStart(pid)) ?? '');
    await registry.add(one);
    await stop(cli, [name === 'id' ? one.id : name], {});
    await gone;
    expect(await registry.list()).toEqual([]);
  }
});

test('stop never signals a process that only has the same number', async () => {
  const { cli, registry } = await fakeCli();
  const { pid } = await sleeper();
  const stale = entry(pid, 'another start');
  await registry.add(stale);
  await expect(stop(cli, [stale.id], {})).rejects.toThrow(code('PAM_NOT_FOUND'));
  expect(await processStart(pid)).not.toBeNull();
});

test('stop never guesses: several hits are listed, nothing named is a usage error', async () => {
  const { cli, registry } = await fakeCli();
  const { pid } = await sleeper();
  const start = (await processStart(pid)) ?? '';
  await registry.add(entry(pid, start, 1_000));
  await registry.add(entry(pid, start, 1_001));
  await expect(stop(cli, ['web1'], {})).rejects.toThrow(code('PAM_AMBIGUOUS'));
  await expect(stop(cli, [], {})).rejects.toThrow(code('PAM_USAGE'));
  await expect(stop(cli, ['web1'], { all: true })).rejects.toThrow(code('PAM_USAGE'));
  await expect(stop(cli, ['other'], {})).rejects.toThrow(code('PAM_NOT_FOUND'));
});

test('a taken port is refused by name of its holder; without a port the first free one is found', async () => {
  await mkdir(await home(), { recursive: true });
  const first = await listen(
    '127.0.0.1',
    0,
    (socket) => socket.destroy(),
    async () => null,
  );
  onTestFinished(() => void first.server.close());
  expect(first.port).toBeGreaterThanOrEqual(49_152);
  const again = listen(
    '127.0.0.1',
    first.port,
    () => undefined,
    async () => null,
  );
  await expect(again).rejects.toThrow(
    expect.objectContaining({ code: 'PAM_PORT_IN_USE', message: expect.stringContaining(`PID ${process.pid}`) }),
  );
  const named = listen(
    '127.0.0.1',
    first.port,
    () => undefined,
    async () => 'tunnel abc (PID 7)',
  );
  await expect(named).rejects.toThrow(/taken by tunnel abc \(PID 7\)/);
  const second = await listen(
    '127.0.0.1',
    0,
    () => undefined,
    async () => null,
  );
  onTestFinished(() => void second.server.close());
  // Which is the first free one changes: tunnels of other tests come and go meanwhile.
  expect(second.port).not.toBe(first.port);
  expect(second.port).toBeGreaterThanOrEqual(49_152);
  await expect(
    listen(
      '203.0.113.1',
      0,
      () => undefined,
      async () => null,
    ),
  ).rejects.toThrow(code('PAM_CONFIG_INVALID'));
});
