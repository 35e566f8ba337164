import { join } from 'node:path';
import { PamError } from '@sallyport/protocol';
import { z } from 'zod';
import { makePrivateFolder, readText, writeWhole } from './file-store.ts';
import { withLock } from './lock.ts';
import type { ProfileStore } from './profile-store.ts';
import type { Clock } from '../time/clock.ts';

const fileSchema = z.strictObject({
  v: z.literal(1),
  /** Port by UID of the record. */
  ports: z.record(z.string().length(22), z.int().min(1).max(65_535)),
});
type Ports = Readonly<Record<string, number>>;

const limitBytes = 1_048_576;
const mostRecords = 10_000;

/**
 * The local ports a person wants for the tunnels of this machine (`pam tunnel edit --local-port`).
 *
 * They are kept in the profile and not in the record: which port is free is a fact about a machine, not about the
 * target; two people who share a record would take it from each other; and choosing it needs no right to change records.
 */
export interface PreferredPorts {
  of(recordUid: string): Promise<number | null>;
  /** null forgets it. PAM_TOO_LARGE beyond 10,000 records. */
  set(recordUid: string, port: number | null): Promise<void>;
}

export function openPreferredPorts(
  store: Pick<ProfileStore, 'folder'>,
  deps: { readonly clock: Clock; readonly signal: AbortSignal },
): PreferredPorts {
  const path = join(store.folder, 'tunnel-ports.json');
  const read = async (): Promise<Ports> => {
    const text = await readText(path, limitBytes);
    return text === null ? {} : parse(path, text);
  };
  return {
    of: async (recordUid) => (await read())[recordUid] ?? null,
    set: async (recordUid, port) => {
      await makePrivateFolder(store.folder);
      await withLock(join(store.folder, 'tunnel-ports.lock'), deps, async () => {
        const { [recordUid]: _before, ...others } = await read();
        const ports = port === null ? others : { ...others, [recordUid]: port };
        if (Object.keys(ports).length > mostRecords) {
          throw new PamError('PAM_TOO_LARGE', `${path} holds ${mostRecords} ports already`);
        }
        await writeWhole(path, `${JSON.stringify({ v: 1, ports }, null, 2)}\n`);
      });
    },
  };
}

function parse(path: string, text: string): Ports {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (reason) {
    throw PamError.from(reason, 'PAM_CONFIG_INVALID', `${path} is not JSON`);
  }
  const parsed = fileSchema.safeParse(value);
  if (parsed.success) return parsed.data.ports;
  throw new PamError('PAM_CONFIG_INVALID', `${path} has a bad field ${parsed.error.issues[0]?.path.join('.') ?? ''}`, {
    cause: parsed.error,
    remedy: 'Correct the file, or remove it: it holds preferred local ports and nothing else.',
  });
}
