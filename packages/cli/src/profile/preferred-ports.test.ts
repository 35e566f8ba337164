import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCleanup, tempDir } from '@sallyport/testkit';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../time/system-clock.ts';
import { openPreferredPorts } from './preferred-ports.ts';

const cleanup = createCleanup();
afterEach(() => cleanup.run());
const deps = { clock: systemClock, signal: new AbortController().signal };
const uid = (letter: string): string => letter.repeat(22);

test('a preferred port is found again, and forgotten when it is taken back', async () => {
  const folder = join(tempDir(cleanup.later), 'profile');
  const ports = openPreferredPorts({ folder }, deps);
  expect(await ports.of(uid('a'))).toBeNull();
  await ports.set(uid('a'), 15_432);
  await ports.set(uid('b'), 15_433);
  await ports.set(uid('a'), null);
  const again = openPreferredPorts({ folder }, deps);
  expect([await again.of(uid('a')), await again.of(uid('b'))]).toEqual([null, 15_433]);
});

test('preferences set by many commands at once are all kept', async () => {
  const folder = join(tempDir(cleanup.later), 'profile');
  const letters = 'abcdefghijkl'.split('');
  await Promise.all(letters.map((letter, at) => openPreferredPorts({ folder }, deps).set(uid(letter), 20_000 + at)));
  const ports = openPreferredPorts({ folder }, deps);
  expect(await Promise.all(letters.map((letter) => ports.of(uid(letter))))).toEqual(
    letters.map((_, at) => 20_000 + at),
  );
});

test.each(['{', '{"v":1,"ports":{"x":0}}', '{"v":2,"ports":{}}', '{"v":1,"ports":{"aaaaaaaaaaaaaaaaaaaaaa":70000}}'])(
  'a damaged file is an error and never taken for an empty one: %s',
  async (text) => {
    const folder = tempDir(cleanup.later);
    writeFileSync(join(folder, 'tunnel-ports.json'), text);
    await expect(openPreferredPorts({ folder }, deps).of(uid('a'))).rejects.toMatchObject({
      code: 'PAM_CONFIG_INVALID',
    });
  },
);
