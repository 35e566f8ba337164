import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { deviceIdSchema, hashSchema, headSchema, jwsSchema, PamError, personUidSchema } from '@sallyport/protocol';
import { z } from 'zod';
import type { Clock } from '../time/clock.ts';
import { makePrivateFolder, readText, shred, writeWhole } from './file-store.ts';
import { profileFolder } from './home.ts';
import { withLock } from './lock.ts';

const auditHeadSchema = z.strictObject({ seq: z.int().min(0), hash: z.string().max(43), jws: jwsSchema });
const chainEndSchema = z.strictObject({ seq: z.int().min(0), hash: z.string().max(43) });

/** What the profile knows about its router and its person; written once, at setup or login. */
export const profileSchema = z.strictObject({
  v: z.literal(1),
  /** HOST:PORT, IPv6 in brackets. */
  router: z.string().min(3).max(300),
  pins: z.array(hashSchema).min(1).max(2),
  anchor: hashSchema,
  floor: headSchema,
  person: z.strictObject({ uid: personUidSchema, name: z.string().min(1).max(64) }),
});
export type Profile = z.infer<typeof profileSchema>;

const privateJwkSchema = z.strictObject({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: hashSchema,
  y: hashSchema,
  d: hashSchema,
});
/** The device: its key, the secret that seals what rests here, and the account secret so sealed. */
export const deviceFileSchema = z.strictObject({
  v: z.literal(1),
  id: deviceIdSchema,
  label: z.string().max(64),
  key: privateJwkSchema,
  rest: hashSchema,
  accountSecret: z.string().max(4_096),
});
export type DeviceFile = z.infer<typeof deviceFileSchema>;

/** A sign-in: access token and the person's keys, sealed to the device, until it expires. */
export const signInFileSchema = z.strictObject({
  v: z.literal(1),
  accessToken: z.string().length(43),
  expiresAtMs: z.int(),
  keys: z.string().max(8_192),
});
export type SignInFile = z.infer<typeof signInFileSchema>;

/** What this profile has seen and will not go behind. */
export const memorySchema = z.strictObject({
  v: z.literal(1),
  logHead: headSchema.nullable(),
  /** Highest revision seen of each part, `UID/part`, with the hash of that envelope. */
  revs: z.record(z.string().max(64), z.strictObject({ rev: z.int().min(1), hash: hashSchema })),
  /** Highest head seen of each start of the router. */
  auditHeads: z.record(z.string().max(20), auditHeadSchema),
  /** End of this device's own chain of signed events; `pending` was sent and not yet acknowledged. */
  chains: z.record(z.string().max(64), z.strictObject({ ...chainEndSchema.shape, pending: chainEndSchema.nullable() })),
});
export type Memory = z.infer<typeof memorySchema>;
const noMemory: Memory = { v: 1, logHead: null, revs: {}, auditHeads: {}, chains: {} };

const lastListSchema = z.strictObject({ v: z.literal(1), atMs: z.int(), list: z.unknown() });

/** The files of one profile. Every read is checked; a damaged file is an error, never taken as absent. */
export interface ProfileStore {
  readonly name: string;
  readonly folder: string;
  readProfile(): Promise<Profile | null>;
  writeProfile(profile: Profile): Promise<void>;
  readDevice(): Promise<DeviceFile | null>;
  writeDevice(device: DeviceFile): Promise<void>;
  readSignIn(): Promise<SignInFile | null>;
  writeSignIn(signIn: SignInFile): Promise<void>;
  /** Verified entries of the trust log, from 0. */
  readLog(): Promise<readonly string[]>;
  /** Keeps the longer of what is stored and `entries` (which must begin with what is stored). */
  keepLog(entries: readonly string[]): Promise<void>;
  readMemory(): Promise<Memory>;
  /** Reads, changes and writes the memory as one step among all processes of this profile. */
  changeMemory(change: (memory: Memory) => Memory): Promise<Memory>;
  readLastList(): Promise<{ readonly atMs: number; readonly list: unknown } | null>;
  writeLastList(atMs: number, list: unknown): Promise<void>;
  /** Holds the lock of the chain of signed events. */
  withChain<T>(work: () => Promise<T>): Promise<T>;
  /** Shreds device key, account secret, person keys and access token. What was seen stays. */
  forgetKeys(): Promise<void>;
}

export function openProfileStore(
  home: string,
  name: string,
  deps: { readonly clock: Clock; readonly signal: AbortSignal },
): ProfileStore {
  const folder = profileFolder(home, name);
  const at = (file: string) => join(folder, file);
  const write = async (file: string, value: unknown) => {
    await makePrivateFolder(folder);
    await writeWhole(at(file), `${JSON.stringify(value, null, 2)}\n`);
  };
  const read = async <T>(file: string, schema: z.ZodType<T>, limitBytes: number): Promise<T | null> => {
    const text = await readText(at(file), limitBytes);
    return text === null ? null : parseFile(at(file), text, schema);
  };
  const readLog = async () => {
    const text = (await readText(at('log.jsonl'), 256 * 1_024 * 1_024)) ?? '';
    return text.split('\n').filter((line) => line !== '');
  };
  const readMemory = async () => (await read('memory.json', memorySchema, 64 * 1_024 * 1_024)) ?? noMemory;
  const locked = async <T>(lock: string, work: () => Promise<T>) => {
    await makePrivateFolder(folder);
    return withLock(at(lock), deps, work);
  };
  return {
    name,
    folder,
    readProfile: async () => read('profile.json', profileSchema, 65_536),
    writeProfile: async (profile) => write('profile.json', profile),
    readDevice: async () => read('device-key.json', deviceFileSchema, 65_536),
    writeDevice: async (device) => write('device-key.json', device),
    readSignIn: async () => read('sign-in.json', signInFileSchema, 65_536),
    writeSignIn: async (signIn) => write('sign-in.json', signIn),
    readLog,
    keepLog: async (entries) =>
      locked('memory.lock', async () => {
        const known = await readLog();
        if (known.length >= entries.length) return;
        await writeWhole(at('log.jsonl'), entries.map((entry) => `${entry}\n`).join(''));
      }),
    readMemory,
    changeMemory: async (change) =>
      locked('memory.lock', async () => {
        const before = await readMemory();
        const after = change(before);
        if (after !== before) await write('memory.json', after);
        return after;
      }),
    readLastList: async () => read('gateways.json', lastListSchema, 64 * 1_024 * 1_024),
    writeLastList: async (atMs, list) => write('gateways.json', { v: 1, atMs, list }),
    withChain: async (work) => locked('chain.lock', work),
    forgetKeys: async () => {
      await shred(at('sign-in.json'));
      await shred(at('device-key.json'));
      await rm(at('gateways.json'), { force: true });
    },
  };
}

function parseFile<T>(path: string, text: string, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (reason) {
    throw damaged(path, 'is not JSON', reason);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw damaged(path, `has a bad field ${issue?.path.join('.') ?? ''}`, parsed.error);
}

function damaged(path: string, what: string, cause: unknown): PamError {
  return new PamError('PAM_CONFIG_INVALID', `${path} ${what}`, {
    cause,
    remedy: 'Restore the file, or make a new profile with pam login --profile NAME.',
  });
}
