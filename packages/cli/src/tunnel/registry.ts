import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PamError } from '@sallyport/protocol';
import { z } from 'zod';
import { makePrivateFolder, readText, writeWhole } from '../profile/file-store.ts';
import { isSameProcess } from './process-identity.ts';

const stateSchema = z.strictObject({
  kind: z.enum(['ready', 'signed-out', 'router-away']),
  /** Since when it is not ready. */
  sinceMs: z.int().nullable(),
  streams: z.int().min(0),
});
/** What a tunnel says of itself while it runs. */
export type TunnelState = z.infer<typeof stateSchema>;

const entrySchema = z.strictObject({
  v: z.literal(1),
  id: z.string().regex(/^[\w-]{8}$/),
  pid: z.int().min(1),
  /** Start of the process as the system counts it: a reused pid has another. */
  processStart: z.string().max(128),
  recordUid: z.string().max(22),
  recordTitle: z.string().max(256),
  gatewayTitle: z.string().max(256),
  target: z.string().max(320),
  host: z.string().max(64),
  port: z.int().min(0).max(65_535),
  mode: z.enum(['foreground', 'background', 'run', 'stdio']),
  startedAtMs: z.int(),
  log: z.string().max(4_096).nullable(),
  /** Absent in entries of earlier versions. */
  state: stateSchema.default({ kind: 'ready', sinceMs: null, streams: 0 }),
});
/** One running tunnel of this profile on this machine. */
export type TunnelEntry = z.infer<typeof entrySchema>;

/** Tunnels of one profile, one file each. Entries whose process is gone are removed when they are met. */
export interface TunnelRegistry {
  readonly folder: string;
  add(entry: TunnelEntry): Promise<void>;
  remove(id: string): Promise<void>;
  /** Those whose process still runs, oldest first. */
  list(): Promise<readonly TunnelEntry[]>;
}

export function openTunnelRegistry(profileFolder: string): TunnelRegistry {
  const folder = join(profileFolder, 'tunnels');
  const fileOf = (id: string) => join(folder, `${id}.json`);
  const remove = async (id: string) => rm(fileOf(id), { force: true });
  return {
    folder,
    add: async (entry) => {
      await makePrivateFolder(folder);
      await writeWhole(fileOf(entry.id), `${JSON.stringify(entry)}\n`);
    },
    remove,
    list: async () => {
      const running: TunnelEntry[] = [];
      for (const name of await entryFiles(folder)) {
        const entry = parseEntry(await readText(join(folder, name), 65_536));
        if (entry !== null && (await isSameProcess(entry.pid, entry.processStart))) running.push(entry);
        else await rm(join(folder, name), { force: true });
      }
      return running.sort((a, b) => a.startedAtMs - b.startedAtMs);
    },
  };
}

async function entryFiles(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).filter((name) => /^[\w-]{8}\.json$/.test(name));
  } catch (reason) {
    if (reason instanceof Error && 'code' in reason && reason.code === 'ENOENT') return [];
    throw PamError.from(reason, 'PAM_CONFIG_INVALID', `${folder} cannot be read`);
  }
}

function parseEntry(text: string | null): TunnelEntry | null {
  try {
    const parsed = entrySchema.safeParse(JSON.parse(text ?? ''));
    return parsed.success ? parsed.data : null;
  } catch (reason) {
    if (reason instanceof SyntaxError) return null;
    throw reason;
  }
}

/** Eight characters to name a tunnel by. */
export function newTunnelId(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString('base64url');
}
