import { expect, test } from 'vitest';
import { leftovers, namespaceName, ownerOf } from './lab-name.ts';

const owner = { pid: 4_711, start: '123456' };

test('a name tells who made it', () => {
  const name = namespaceName(owner, 2, 'router');
  expect(name).toBe('sallyport-4711.123456-2-router');
  expect(ownerOf(name)).toEqual(owner);
});

test('only what a dead process of ours left is a leftover, also when its pid came again', () => {
  const [running, dead, reused] = [1, 2, 3].map((pid) => namespaceName({ pid, start: '7' }, 1, 'one'));
  const names = [running ?? '', dead ?? '', reused ?? '', 'sallyport-x', 'somebody-else', 'sallyport-1.7-1-../etc'];
  const starts: Readonly<Record<number, string>> = { 1: '7', 3: '8' };
  expect(leftovers(names, (pid) => starts[pid] ?? null)).toEqual([dead, reused]);
});

test.each(['', 'One', 'a b', '../x', '1st', 'a'.repeat(17)])('%j is no name of a host', (host) => {
  expect(() => namespaceName(owner, 1, host)).toThrow('a host');
});
