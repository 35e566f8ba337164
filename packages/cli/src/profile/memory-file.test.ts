import { spawn } from 'node:child_process';
import { appendFileSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createCleanup, tempDir } from '@sallyport/testkit';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../time/system-clock.ts';
import { makePrivateFolder } from './file-store.ts';
import { withLock } from './lock.ts';
import { openMemoryFile } from './memory-file.ts';

const cleanup = createCleanup();
afterEach(async () => cleanup.run());
const hash = 'h'.repeat(43);
/** A long one, so that few of them fill the lines. */
const keyOf = (n: number) => `${`item-${n}`.padEnd(50, '.')}/facts`;
const rev = (n: number, number = 1) => ({ revs: { [keyOf(n)]: { rev: number, hash } } });

async function place() {
  const folder = join(tempDir(cleanup.later), 'profile');
  await makePrivateFolder(folder);
  const paths = { folder, whole: join(folder, 'memory.json'), lines: join(folder, 'memory.jsonl') };
  const deps = { clock: systemClock, signal: new AbortController().signal };
  const open = () => openMemoryFile(paths, async (work) => withLock(join(folder, 'memory.lock'), deps, work));
  return { ...paths, open };
}
const known = async (file: ReturnType<typeof openMemoryFile>) => Object.keys((await file.read()).revs).length;
const inode = (path: string) => statSync(path, { throwIfNoEntry: false })?.ino ?? null;

test('what is remembered costs its own line; the whole is written anew a few times for thousands', async () => {
  const { whole, lines, open } = await place();
  const file = open();
  let wholes = 0;
  let longest = 0;
  for (let n = 0; n < 1_500; n += 1) {
    const before = inode(whole);
    await file.remember(rev(n));
    if (inode(whole) !== before) wholes += 1;
    longest = Math.max(longest, statSync(lines).size);
  }
  expect(wholes).toBeGreaterThan(1);
  expect(wholes).toBeLessThan(8);
  expect(longest).toBeLessThan(2 * Math.max(65_536, statSync(whole).size));
  expect(await known(open())).toBe(1_500);
}, 60_000);

test('what is no news is not written', async () => {
  const { lines, open } = await place();
  const file = open();
  await file.remember(rev(1, 3));
  const { size } = statSync(lines);
  for (const old of [rev(1, 3), rev(1, 2), {}]) await file.remember(old);
  expect(statSync(lines).size).toBe(size);
  expect((await file.read()).revs[keyOf(1)]?.rev).toBe(3);
});

test('two who have it open see what the other remembers, also after one drew the lines in', async () => {
  const { open } = await place();
  const [one, two] = [open(), open()];
  for (let n = 0; n < 800; n += 1) await (n % 2 === 0 ? one : two).remember(rev(n));
  expect([await known(one), await known(two)]).toEqual([800, 800]);
}, 60_000);

test('who reads the whole just before another replaces it, and the lines just after, sees all the same', async () => {
  const { folder, whole, lines, open } = await place();
  await open().remember(rev(1));
  const text = JSON.stringify(await open().read());
  let times = 0;
  const paths = {
    folder,
    whole,
    /** Asked for once the whole was read. */
    get lines() {
      times += 1;
      if (times > 1) return lines;
      writeFileSync(`${whole}.new`, text);
      renameSync(`${whole}.new`, whole);
      truncateSync(lines, 0);
      return lines;
    },
  };
  expect(await known(openMemoryFile(paths, async (work) => work()))).toBe(1);
  expect(times).toBe(2);
});

test('lines of another that begin in the middle of one where ours ended are no damaged file', async () => {
  const { folder, whole, lines, open } = await place();
  await open().remember(rev(1));
  let drawn = false;
  const paths = {
    folder,
    whole,
    /** Asked for once it is known that the whole is as it was: then another draws the lines in and writes longer ones. */
    get lines() {
      if (!drawn) return lines;
      drawn = false;
      writeFileSync(`${whole}.new`, JSON.stringify(first));
      renameSync(`${whole}.new`, whole);
      writeFileSync(lines, `${JSON.stringify({ revs: { ...rev(2).revs, ...rev(3).revs } })}\n`);
      return lines;
    },
  };
  const file = openMemoryFile(paths, async (work) => work());
  const first = await file.read();
  drawn = true;
  expect(await known(file)).toBe(3);
});

test('a line that was cut off by a kill was never relied on: it is passed over, and the next one is whole', async () => {
  const { lines, open } = await place();
  await open().remember(rev(1));
  await open().remember(rev(2));
  truncateSync(lines, statSync(lines).size - 5);
  const file = open();
  expect(await known(file)).toBe(1);
  await file.remember(rev(3));
  expect(await known(open())).toBe(2);
  expect(readFileSync(lines, 'utf8').split('\n')).toHaveLength(3);
});

test('a kill between the whole and the emptying of its lines changes nothing', async () => {
  const { whole, lines, open } = await place();
  await open().remember(rev(1));
  await open().remember(rev(1, 2));
  const memory = await open().read();
  writeFileSync(whole, JSON.stringify({ ...memory, revs: { ...memory.revs, ...rev(1, 5).revs } }));
  expect((await open().read()).revs[keyOf(1)]?.rev).toBe(5);
  expect(statSync(lines).size).toBeGreaterThan(0);
});

test('lines that went away under an open file are not made up again as zeros', async () => {
  const { lines, open } = await place();
  const file = open();
  await file.remember(rev(1));
  rmSync(lines);
  await file.remember(rev(2));
  expect(await known(open())).toBe(1);
});

test.each(['{"revs":{}', '{"more":1}', 'x', '{"revs":{"a/facts":{"rev":0,"hash":"' + hash + '"}}}'])(
  'a damaged line is an error and never passed over: %s',
  async (line) => {
    const { lines, open } = await place();
    await open().remember(rev(1));
    appendFileSync(lines, `${line}\n`);
    for (const work of [async () => open().read(), async () => open().remember(rev(2))]) {
      await expect(work()).rejects.toMatchObject({ code: 'PAM_CONFIG_INVALID' });
    }
  },
);

test('killed at any moment, what was said to be remembered is', async () => {
  const { folder, open } = await place();
  const module = (name: string) => JSON.stringify(fileURLToPath(new URL(name, import.meta.url)));
  const script = `
    const { openMemoryFile } = await import(${module('./memory-file.ts')});
    const folder = process.argv[1];
    const file = openMemoryFile({ folder, whole: folder + '/memory.json', lines: folder + '/memory.jsonl' }, (work) => work());
    for (let n = Number(process.argv[2]); ; n++) {
      await file.remember({ revs: { ['item-' + n + '/facts']: { rev: 1, hash: 'h'.repeat(43) } } });
      process.stdout.write(n + '\\n');
    }
  `;
  let next = 0;
  for (const after of [1, 40, 700, 900]) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, folder, String(next)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    await new Promise<void>((resolve) => {
      child.stdout.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        if (text.split('\n').length > after) child.kill('SIGKILL');
      });
      child.stdout.on('close', resolve);
    });
    const last = Number(text.split('\n').at(-2));
    const count = await known(open());
    expect(count).toBeGreaterThanOrEqual(last + 1);
    next = count;
  }
}, 60_000);

test('a floor sinks when it is said, for everybody who has the memory open, and rises again with what is seen', async () => {
  const { open } = await place();
  const [one, two] = [open(), open()];
  await one.remember(rev(1, 7));
  await two.remember(rev(2, 3));
  await one.lower(rev(1, 4).revs);
  for (const file of [one, two, open()]) {
    const { revs } = await file.read();
    expect([revs[keyOf(1)]?.rev, revs[keyOf(2)]?.rev]).toEqual([4, 3]);
  }
  await two.remember(rev(1, 5));
  expect((await one.read()).revs[keyOf(1)]?.rev).toBe(5);
});

test('a kill between the two writes of a lowered floor leaves the old one', async () => {
  const { lines, open } = await place();
  await open().remember(rev(1, 7));
  const before = readFileSync(lines);
  await open().lower(rev(1, 4).revs);
  writeFileSync(lines, before);
  expect((await open().read()).revs[keyOf(1)]?.rev).toBe(7);
});
