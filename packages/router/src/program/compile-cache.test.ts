import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { createCleanup, tempDir } from '@sallyport/testkit';
import { afterAll, expect, test } from 'vitest';
import { openCompileCache } from './compile-cache.ts';

const cleanup = createCleanup();
afterAll(() => cleanup.run());

test('compiled code is kept only in a data folder that nobody else may write', () => {
  const dataDir = tempDir(cleanup.later);
  const folder = join(dataDir, 'compile-cache');
  expect(openCompileCache(['start', '--data-dir', dataDir], {})).toBe(folder);
  expect(openCompileCache(['start', `--data-dir=${dataDir}`], { SALLYPORT_DATA_DIR: '/nowhere' })).toBe(folder);
  expect(openCompileCache(['start'], { SALLYPORT_DATA_DIR: dataDir })).toBe(folder);
  for (const mode of [0o770, 0o707, 0o777, 0o1777]) {
    chmodSync(dataDir, mode);
    expect(openCompileCache(['start', '--data-dir', dataDir], {})).toBeNull();
  }
  expect(openCompileCache(['start', '--data-dir', join(dataDir, 'none')], {})).toBeNull();
  expect(openCompileCache(['start', '--data-dir'], { SALLYPORT_DATA_DIR: join(dataDir, 'none') })).toBeNull();
});
