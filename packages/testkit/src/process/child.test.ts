import { expect, onTestFinished, test } from 'vitest';
import { createCleanup } from './cleanup.ts';
import { descendantsOf, isRunning, runChild, startChild } from './child.ts';
import { freePort } from './free-port.ts';

const node = process.execPath;

test('a line is found whether it was printed before or after the wait began', async () => {
  const child = startChild(onTestFinished, node, [
    '-e',
    "console.log('up 42'); process.stdin.on('data', (d) => console.error(`got ${d}`))",
  ]);
  expect((await child.waitForLine(/^up (\d+)$/))[1]).toBe('42');
  child.write('x\n');
  expect((await child.waitForLine(/^got (x)$/, { from: 'stderr' }))[1]).toBe('x');
  expect((await child.waitForLine(/^up/))[0]).toBe('up');
});

test('waiting for a line of a program that ends tells its output and how it ended', async () => {
  const child = startChild(onTestFinished, node, ['-e', "console.log('broken'); process.exit(3)"]);
  await expect(child.waitForLine(/never/)).rejects.toThrow(/ended with code 3[\s\S]*broken/);
});

test('a program that ignores SIGTERM is killed, and is gone afterwards', async () => {
  const child = startChild(onTestFinished, node, [
    '-e',
    "process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 1e3)",
  ]);
  await child.waitForLine(/up/);
  expect(isRunning(child.pid)).toBe(true);
  expect(await child.stop(10)).toEqual({ code: null, signal: 'SIGKILL' });
  expect(isRunning(child.pid)).toBe(false);
});

test('the end of standard input reaches the program', async () => {
  const child = startChild(onTestFinished, node, ['-e', "process.stdin.resume().on('end', () => process.exit(7))"]);
  child.closeStdin();
  expect(await child.exited).toEqual({ code: 7, signal: null });
});

test('a run gives code and both outputs', async () => {
  const run = await runChild(
    node,
    ['-e', "process.stdin.pipe(process.stdout); process.stdin.on('end', () => { process.exitCode = 5 })"],
    { input: 'hello' },
  );
  expect(run).toMatchObject({ code: 5, stdout: 'hello', stderr: '' });
});

test('a program that does not end in time is killed, and what it hung in is told', async () => {
  const run = await runChild('/bin/sh', ['-c', 'echo said; exec sleep 60'], { withinMs: 500 });
  expect(run).toMatchObject({ code: null, signal: 'SIGKILL', stdout: 'said\n' });
  expect(run.stderr).toMatch(/had not ended after 500 ms; its threads: (sh|sleep) \w \S+/);
});

test('children of children are found', async () => {
  const child = startChild(onTestFinished, '/bin/sh', ['-c', 'sleep 60 & echo up; wait']);
  await child.waitForLine(/up/);
  const [grandchild = 0] = descendantsOf(child.pid);
  expect(isRunning(grandchild)).toBe(true);
  process.kill(grandchild);
});

test('cleaning up does all of it, newest first, and reports what failed', async () => {
  const cleanup = createCleanup();
  const seen: number[] = [];
  cleanup.later(() => void seen.push(1));
  cleanup.later(() => Promise.reject(new Error('stuck')));
  cleanup.later(() => void seen.push(3));
  await expect(cleanup.run()).rejects.toThrow('stuck');
  expect(seen).toEqual([3, 1]);
});

test('a free port is below those the kernel gives out', async () => {
  expect(await freePort()).toBeLessThan(32_768);
});
