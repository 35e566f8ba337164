import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { deviceIdSchema, hashSchema, headSchema, personUidSchema } from '@sallyport/protocol';
import { z } from 'zod';
import type { Clock } from '../time/clock.ts';
import { appendLine, makePrivateFolder, readText, shred, sizeOf, writeWhole } from './file-store.ts';
import { keptEventsBytes, trimmedLines } from './kept-events.ts';
import { profileFolder } from './home.ts';
import { withLock } from './lock.ts';
import type { Memory, Sighting } from './memory.ts';
import { openMemoryFile } from './memory-file.ts';
import { parseFile } from './parse-file.ts';

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
  /** Its `revs` gain what this process remembers later. */
  readMemory(): Promise<Memory>;
  /** Writes what of this is news, as one step among all processes of this profile: remembered for good when it resolves. */
  remember(seen: Sighting): Promise<Memory>;
  /** Puts these revisions in the place of what was seen of the same parts: by a person's word, and no other way. */
  lowerRevisions(revs: Memory['revs']): Promise<void>;
  readLastList(): Promise<{ readonly atMs: number; readonly list: unknown } | null>;
  writeLastList(atMs: number, list: unknown): Promise<void>;
  /** Holds the lock of the chain of signed events. */
  withChain<T>(work: () => Promise<T>): Promise<T>;
  /** Keeps a signed event of this device beside the last ones; under the lock of the chain. */
  keepEvent(event: string): Promise<void>;
  /** The signed events that are kept, oldest first, also such as were never taken. */
  readEvents(): Promise<readonly string[]>;
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
  const locked = async <T>(lock: string, work: () => Promise<T>) => {
    await makePrivateFolder(folder);
    return withLock(at(lock), deps, work);
  };
  const memory = openMemoryFile({ folder, whole: at('memory.json'), lines: at('memory.jsonl') }, async (work) =>
    locked('memory.lock', work),
  );
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
    readMemory: memory.read,
    remember: memory.remember,
    lowerRevisions: memory.lower,
    readLastList: async () => read('gateways.json', lastListSchema, 64 * 1_024 * 1_024),
    writeLastList: async (atMs, list) => write('gateways.json', { v: 1, atMs, list }),
    keepEvent: async (event) => {
      const path = at('events.jsonl');
      await appendLine(path, event);
      if ((await sizeOf(path)) <= keptEventsBytes.most) return;
      await writeWhole(path, trimmedLines((await readText(path, 2 * keptEventsBytes.most)) ?? ''));
    },
    readEvents: async () =>
      ((await readText(at('events.jsonl'), 2 * keptEventsBytes.most)) ?? '').split('\n').filter((line) => line !== ''),
    withChain: async (work) => locked('chain.lock', work),
    forgetKeys: async () => {
      await shred(at('sign-in.json'));
      await shred(at('device-key.json'));
      await rm(at('gateways.json'), { force: true });
    },
  };
}
