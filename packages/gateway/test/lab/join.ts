import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JoinConfig } from '@sallyport/seal';
import { type InstanceOptions, type RunningInstance, startInstance, systemRuntime } from '../../src/index.ts';
import type { LogLine } from './lab.ts';

export interface Joining {
  readonly instance: RunningInstance;
  readonly log: LogLine[];
  readonly stateDir: string;
  /** Resolves at the first log line with this message. */
  said(message: string, count?: number): Promise<LogLine>;
}

/** Starts an instance with any configuration; `later` gets what ends it. */
export async function joinWith(
  config: JoinConfig,
  later: (work: () => Promise<void>) => void,
  options: Partial<InstanceOptions> = {},
): Promise<Joining> {
  const log: LogLine[] = [];
  const waiters = new Set<() => void>();
  const note =
    (level: string) =>
    (message: string, fields: LogLine['fields'] = {}): void => {
      log.push({ level, message, fields });
      for (const waiter of waiters) waiter();
    };
  const made = options.stateDir === undefined;
  const stateDir = options.stateDir ?? (await mkdtemp(join(tmpdir(), 'sallyport-gateway-')));
  const instance = await startInstance({
    config,
    stateDir,
    version: '0.1.0',
    runtime: systemRuntime,
    log: { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') },
    health: 'none',
    ...options,
  });
  later(async () => {
    instance.hurry();
    await instance.left;
    if (made) await rm(stateDir, { recursive: true, force: true });
  });
  return {
    instance,
    log,
    stateDir,
    said: (message, count = 1) =>
      new Promise((resolve) => {
        const look = (): void => {
          const found = log.filter((line) => line.message === message)[count - 1];
          if (found === undefined) return;
          waiters.delete(look);
          resolve(found);
        };
        waiters.add(look);
        look();
      }),
  };
}
