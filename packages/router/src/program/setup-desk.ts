import { join } from 'node:path';
import { PamError } from '@sallyport/protocol';
import { z } from 'zod';
import type { IdentityStore } from '../identity/index.ts';
import { readIfThere, writePrivate } from './state-file.ts';

/** A setup code lives this long; `pam-router setup-code` prints another. */
const setupLifeMs = 3_600_000;

const setupFileSchema = z.strictObject({ secretHash: z.string().regex(/^[\w-]{43}$/), expiresAtMs: z.int() });

/**
 * The newest setup code's hash, in DATA/setup-code.json (0600). `pam-router setup-code` is another process, which may
 * not open the store beside a running router, so the file is how it tells; who may write there owns the router anyway.
 */
export function writeSetupFile(dataDir: string, secretHash: string, nowMs: number): void {
  const text = JSON.stringify({ secretHash, expiresAtMs: nowMs + setupLifeMs });
  writePrivate(join(dataDir, 'setup-code.json'), `${text}\n`);
}

export interface SetupDesk {
  /** Keeps the hash of a code just made; the one before is void. */
  put(secretHash: string): Promise<void>;
  /** Hash of the newest code while it is alive, brought into the store where the claim is decided; null else. */
  fresh(): Promise<string | null>;
}

export function createSetupDesk(dataDir: string, store: IdentityStore, nowMs: () => number): SetupDesk {
  return {
    put: async (secretHash) => {
      writeSetupFile(dataDir, secretHash, nowMs());
    },
    fresh: async () => {
      const text = readIfThere(join(dataDir, 'setup-code.json'));
      if (text === null) return null;
      const read = setupFileSchema.safeParse(JSON.parse(text));
      if (!read.success) throw new PamError('PAM_STORE_DAMAGED', 'setup-code.json is not what pam-router writes');
      const { secretHash, expiresAtMs } = read.data;
      if (expiresAtMs <= nowMs()) return null;
      await store.writeSetting({ key: 'setup-secret', value: secretHash });
      await store.writeSetting({ key: 'setup-expires-at-ms', value: String(expiresAtMs) });
      return secretHash;
    },
  };
}
