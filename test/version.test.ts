import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { productVersion } from '@sallyport/protocol';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');

test('every package carries the version that the programs print', () => {
  const files = ['package.json', ...globSync('packages/*/package.json', { cwd: root })];
  const versions = files.map((file) => {
    const { version }: { version?: unknown } = JSON.parse(readFileSync(join(root, file), 'utf8'));
    return `${file} ${String(version)}`;
  });
  expect(files.length).toBeGreaterThan(6);
  expect(versions).toEqual(files.map((file) => `${file} ${productVersion}`));
});
