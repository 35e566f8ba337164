import { appendFileSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir } from '@sallyport/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { trustFile } from './trust-file.ts';

const later = (work: () => Promise<void> | void): void => onTestFinished(work);

test('entries survive, only their owner reads them, and each installation has its own', async () => {
  const folder = tempDir(later);
  const store = trustFile(folder, 'anchor-one');
  expect(await store.read()).toEqual([]);
  await store.append(['a', 'b']);
  await store.append(['c']);
  expect(await trustFile(folder, 'anchor-one').read()).toEqual(['a', 'b', 'c']);
  expect(await trustFile(folder, 'anchor-two').read()).toEqual([]);
  const [name = ''] = readdirSync(folder);
  expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
});

test('a line that was being written when the process died is dropped and written anew', async () => {
  const folder = tempDir(later);
  const store = trustFile(folder, 'anchor');
  await store.append(['a', 'b']);
  const [name = ''] = readdirSync(folder);
  appendFileSync(join(folder, name), 'half a line');
  expect(await store.read()).toEqual(['a', 'b']);
  await store.append(['c']);
  expect(readFileSync(join(folder, name), 'utf8')).toBe('a\nb\nc\n');
});
