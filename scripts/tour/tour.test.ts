import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { tempDir } from '@sallyport/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { Fleet } from './fleet.ts';
import { takeLock } from './lock.ts';
import { parseOptions } from './options.ts';
import { claimPort } from './port.ts';
import { startTicks } from './running.ts';
import { TourStop } from './stop.ts';

function stopOf(work: () => unknown): TourStop {
  try {
    work();
  } catch (error) {
    if (error instanceof TourStop) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

test('without flags: three instances, maximum three, ./.sallyport, the usual port', () => {
  expect(parseOptions([], '/somewhere')).toEqual({
    once: false,
    port: undefined,
    dataDir: '/somewhere/.sallyport',
    instances: 3,
    maximum: 3,
  });
  expect(parseOptions(['--instances', '5'], '/')).toMatchObject({ instances: 5, maximum: 5 });
  expect(parseOptions(['--once', '--port=0', '--data-dir=/d', '--maximum=9'], '/')).toMatchObject({
    port: 0,
    maximum: 9,
  });
});

test.each([
  ['--instances', '1'],
  ['--instances', '3x'],
  ['--port', '70000'],
  ['--no-such'],
  ['--maximum', '2'],
  ['--data-dir', ''],
])('what is not understood is exit 2: %s %s', (...argv) => {
  expect(stopOf(() => parseOptions(argv, '/')).exit).toBe(2);
});

test('a second start on the same folder says who runs there; a dead one leaves no trace', () => {
  const folder = tempDir(onTestFinished);
  const lock = takeLock(folder);
  lock.tell('https://127.0.0.1:7443');
  const stop = stopOf(() => takeLock(folder));
  expect([stop.exit, stop.message]).toEqual([
    4,
    `already running on ${folder}: pid ${process.pid}, router at https://127.0.0.1:7443`,
  ]);
  lock.release();
  takeLock(folder).release();
  writeFileSync(join(folder, 'tour.lock'), JSON.stringify({ pid: process.pid, ticks: '1', url: 'x' }));
  takeLock(folder).release();
  writeFileSync(join(folder, 'tour.lock'), '{"pi');
  takeLock(folder).release();
});

test('a taken port is refused with who holds it and the flag that helps', async () => {
  const server = createServer();
  onTestFinished(() => void server.close());
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(address !== null && typeof address === 'object' ? address.port : 0);
    });
  });
  await expect(claimPort(port)).rejects.toMatchObject({ exit: 4 });
  await expect(claimPort(port)).rejects.toThrow(new RegExp(`port ${port} is taken by pid ${process.pid} .*--port`));
  expect(await claimPort(0)).toBeGreaterThan(0);
});

test('a child ends with the pipe of who started it, even when that one was killed with SIGKILL', async () => {
  const folder = tempDir(onTestFinished);
  const fleet = new Fleet(join(folder, 'logs'));
  onTestFinished(() => fleet.stopAll());
  const target = join(import.meta.dirname, 'web-target.ts');
  const starter = join(folder, 'starter.ts');
  writeFileSync(
    starter,
    `import { Fleet } from ${JSON.stringify(join(import.meta.dirname, 'fleet.ts'))};
     const member = new Fleet(${JSON.stringify(folder)}).start('target', process.execPath, [${JSON.stringify(target)}, '0']);
     await member.line(/listening/, 20_000);
     console.log('child ' + member.pid);`,
  );
  const middle = fleet.start('starter', process.execPath, [starter]);
  const pid = Number((await middle.line(/^child \d+/, 30_000)).split(' ')[1]);
  expect(startTicks(pid)).toBeDefined();
  middle.kill('SIGKILL');
  await middle.exited;
  await expect.poll(() => startTicks(pid), { timeout: 20_000 }).toBeUndefined();
});

test('a program that ends before it is ready is told with its last lines', async () => {
  const folder = tempDir(onTestFinished);
  mkdirSync(folder, { recursive: true });
  const fleet = new Fleet(folder);
  const member = fleet.start('broken', process.execPath, ['-e', "console.error('no such store'); process.exit(3)"]);
  await expect(member.line(/ready/, 20_000)).rejects.toThrow(/broken ended;[\s\S]*no such store/);
  rmSync(folder, { recursive: true });
});
