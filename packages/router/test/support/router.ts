import { createCleanup, tempDir } from '@sallyport/testkit';
import { afterAll } from 'vitest';
import { type RunningRouter, startRouter } from '../../src/index.ts';

/**
 * Slower than usual to pass somebody over or to suspect him: router and instances share this process, and a busy machine may
 * stop it for longer than the usual 400 ms and 1 s.
 */
export const patientTiming = { hedgeMs: 2_000, suspectMs: 4_000, cutMs: 10_000 } as const;

/** A router in this process, on a folder of its own, stopped after the file's tests; `patientTiming` unless another is given. */
export async function freshRouter(
  options: Partial<Parameters<typeof startRouter>[0]> = {},
): Promise<RunningRouter & { readonly dataDir: string; readonly lines: string[] }> {
  const cleanup = createCleanup();
  afterAll(() => cleanup.run());
  const dataDir = options.dataDir ?? tempDir(cleanup.later);
  const lines: string[] = [];
  const router = await startRouter({
    dataDir,
    timing: patientTiming,
    log: { level: 'debug', format: 'json', write: (line) => lines.push(line) },
    ...options,
  });
  cleanup.later(() => router.stop());
  return { ...router, dataDir, lines };
}
