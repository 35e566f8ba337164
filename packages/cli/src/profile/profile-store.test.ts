import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../time/system-clock.ts';
import { refuseExisting, shred, writeNew, writeWhole } from './file-store.ts';
import { checkProfileName, currentProfile, profileNames, setCurrentProfile } from './home.ts';
import { readSettings } from './settings.ts';
import { openProfileStore, type Profile } from './profile-store.ts';

const code = (wanted: string) => expect.objectContaining({ code: wanted });
const hash = 'h'.repeat(43);
const profile: Profile = {
  v: 1,
  router: 'pam.example:7443',
  pins: [hash],
  anchor: hash,
  floor: { n: 1, hash },
  person: { uid: 'P234567890123456789012' as Profile['person']['uid'], name: 'anna' },
};

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'pam-profile-'));
  onTestFinished(async () => rm(made, { recursive: true, force: true }));
  return made;
}
const store = (home: string, name = 'default') =>
  openProfileStore(home, name, { clock: systemClock, signal: new AbortController().signal });

test('folders are 0700, files 0600, and nothing of a half-written file is left', async () => {
  const home = await folder();
  const one = store(home);
  await one.writeProfile(profile);
  expect((await stat(one.folder)).mode & 0o777).toBe(0o700);
  expect((await stat(join(one.folder, 'profile.json'))).mode & 0o777).toBe(0o600);
  expect(await readdir(one.folder)).toEqual(['profile.json']);
  expect(await one.readProfile()).toEqual(profile);
});

test('a damaged file is an error that names it, never taken as absent', async () => {
  const home = await folder();
  const one = store(home);
  await one.writeProfile(profile);
  for (const text of ['', '{', '{"v":2}', JSON.stringify({ ...profile, more: 1 })]) {
    await writeFile(join(one.folder, 'profile.json'), text);
    await expect(one.readProfile()).rejects.toThrow(code('PAM_CONFIG_INVALID'));
  }
  await writeFile(join(one.folder, 'profile.json'), 'x'.repeat(70_000));
  await expect(one.readProfile()).rejects.toThrow(code('PAM_TOO_LARGE'));
});

test('twelve processes that change the memory at once lose nothing', async () => {
  const home = await folder();
  const script = `
    const { openProfileStore } = await import(${JSON.stringify(fileURLToPath(new URL('./profile-store.ts', import.meta.url)))});
    const { systemClock } = await import(${JSON.stringify(fileURLToPath(new URL('../time/system-clock.ts', import.meta.url)))});
    const store = openProfileStore(process.argv[1], 'default', { clock: systemClock, signal: new AbortController().signal });
    for (let i = 0; i < 5; i++) await store.remember({
      revs: { [process.argv[2] + '/' + i]: { rev: 1, hash: 'h'.repeat(43) } } });
  `;
  const runs = Array.from({ length: 12 }, async (_, n) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, home, `p${n}`], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    return new Promise((resolve) => child.on('exit', resolve));
  });
  expect(await Promise.all(runs)).toEqual(Array.from({ length: 12 }, () => 0));
  expect(Object.keys((await store(home).readMemory()).revs)).toHaveLength(60);
});

test('a lock whose holder was killed is free at once', async () => {
  const home = await folder();
  await store(home).writeProfile(profile);
  const script = `
    const { openProfileStore } = await import(${JSON.stringify(fileURLToPath(new URL('./profile-store.ts', import.meta.url)))});
    const { systemClock } = await import(${JSON.stringify(fileURLToPath(new URL('../time/system-clock.ts', import.meta.url)))});
    const store = openProfileStore(process.argv[1], 'default', { clock: systemClock, signal: new AbortController().signal });
    await store.withChain(async () => { console.log('held'); await new Promise(() => setInterval(() => 0, 1e6)); });
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, home], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  let got = false;
  const waiting = store(home).withChain(async () => {
    got = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(got).toBe(false);
  child.kill('SIGKILL');
  await waiting;
  expect(got).toBe(true);
});

test('the kept trust log never gets shorter', async () => {
  const one = store(await folder());
  await one.keepLog(['a', 'b', 'c']);
  await one.keepLog(['a']);
  expect(await one.readLog()).toEqual(['a', 'b', 'c']);
});

test('signing out shreds the keys and keeps what was seen', async () => {
  const home = await folder();
  const one = store(home);
  await one.writeProfile(profile);
  await one.writeSignIn({ v: 1, accessToken: 't'.repeat(43), expiresAtMs: 1, keys: 'sealed' });
  await one.remember({ logHead: { n: 3, hash } });
  await one.forgetKeys();
  expect(await one.readSignIn()).toBeNull();
  expect((await one.readMemory()).logHead).toEqual({ n: 3, hash });
  await one.forgetKeys();
});

test('a new file is never written over an old one, nor through a link', async () => {
  const home = await folder();
  const path = join(home, 'kit.json');
  await writeNew(path, 'one');
  await expect(writeNew(path, 'two')).rejects.toThrow(code('PAM_CONFLICT'));
  await expect(refuseExisting(path)).rejects.toThrow(code('PAM_CONFLICT'));
  expect(await readFile(path, 'utf8')).toBe('one');
  await expect(writeWhole(join(home, 'no', 'such'), 'x')).rejects.toThrow(code('PAM_CONFIG_INVALID'));
  await shred(path);
  await refuseExisting(path);
});

test('profiles are named, listed, and the current one is remembered', async () => {
  const home = await folder();
  expect(await profileNames(home)).toEqual([]);
  expect(await currentProfile(home)).toBeNull();
  await store(home, 'b').writeProfile(profile);
  await store(home, 'a').writeProfile(profile);
  await setCurrentProfile(home, 'b');
  expect(await profileNames(home)).toEqual(['a', 'b']);
  expect(await currentProfile(home)).toBe('b');
  for (const bad of ['', '..', '../x', 'a/b', '.hidden', 'x'.repeat(65)])
    expect(() => checkProfileName(bad)).toThrow(code('PAM_USAGE'));
});

test('settings of pam.json are checked', async () => {
  const home = await folder();
  expect(await readSettings(home)).toEqual({});
  await writeFile(join(home, 'pam.json'), '{"profile":"demo","format":"json"}');
  expect(await readSettings(home)).toEqual({ profile: 'demo', format: 'json' });
  for (const bad of ['{', '{"format":"yaml"}', '{"colour":1}']) {
    await writeFile(join(home, 'pam.json'), bad);
    await expect(readSettings(home)).rejects.toThrow(code('PAM_CONFIG_INVALID'));
  }
});
