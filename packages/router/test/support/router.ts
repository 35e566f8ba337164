import { createCleanup, tempDir } from '@sallyport/testkit';
import { afterAll } from 'vitest';
import { type RunningRouter, startRouter } from '../../src/index.ts';

/** A router in this process, on a folder of its own, stopped after the file's tests. */
export async function freshRouter(
  options: Partial<Parameters<typeof startRouter>[0]> = {},
): Promise<RunningRouter & { readonly dataDir: string; readonly lines: string[] }> {
  const cleanup = createCleanup();
  afterAll(() => cleanup.run());
  const dataDir = options.dataDir ?? tempDir(cleanup.later);
  const lines: string[] = [];
  const router = await startRouter({
    dataDir,
    log: { level: 'debug', format: 'json', write: (line) => lines.push(line) },
    ...options,
  });
  cleanup.later(() => router.stop());
  return { ...router, dataDir, lines };
}
