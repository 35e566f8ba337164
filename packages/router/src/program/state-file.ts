import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { PamError } from '@sallyport/protocol';
import { z } from 'zod';

/** What the router tells other programs on this machine about itself: DATA/router.json, mode 0600. No secrets. */
const routerStateSchema = z.strictObject({
  v: z.literal(1),
  /** Null after a clean stop. */
  pid: z.int().nullable(),
  host: z.string().max(255),
  port: z.int().min(1).max(65_535),
  publicName: z.string().max(300),
  pin: z.string().length(43),
  claimed: z.boolean(),
  version: z.string().max(32),
});
export type RouterState = z.infer<typeof routerStateSchema>;

/** Replaces a small file so that a reader sees the old or the new one, also after a power cut. Mode 0600. */
export function writePrivate(file: string, text: string): void {
  const fresh = `${file}.new`;
  const handle = openSync(fresh, 'w', 0o600);
  try {
    writeSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(fresh, file);
}

/** Text of a file, or null when it does not exist. */
export function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (reason) {
    if (reason instanceof Error && 'code' in reason && reason.code === 'ENOENT') return null;
    throw reason;
  }
}

function fileIn(dataDir: string): string {
  return join(dataDir, 'router.json');
}

export function writeStateFile(dataDir: string, state: RouterState): void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  writePrivate(fileIn(dataDir), `${JSON.stringify(state)}\n`);
}

/** @throws PAM_NOT_FOUND when no router was started on this folder yet. */
export function readStateFile(dataDir: string): RouterState {
  const text = readIfThere(fileIn(dataDir));
  if (text === null) {
    throw new PamError('PAM_NOT_FOUND', `no router was started with data folder ${dataDir} yet`, {
      remedy: 'Run pam-router start first, or name another --data-dir.',
    });
  }
  try {
    return routerStateSchema.parse(JSON.parse(text));
  } catch (reason) {
    throw PamError.from(reason, 'PAM_STORE_DAMAGED', `${fileIn(dataDir)} is not what a router writes`);
  }
}
