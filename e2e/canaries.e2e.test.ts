import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCleanup, startHttpTarget } from '@sallyport/testkit';
import { afterAll, expect, test, vi } from 'vitest';
import { curl } from './harness/curl.ts';
import { newInstallation, ownersPassword } from './harness/installation.ts';
import { patience } from './harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
afterAll(() => cleanup.run());

/** A word that occurs nowhere else; letters and digits only, so that it can stand in a host name. */
const canary = (what: string): string => `canary${what}${randomBytes(8).toString('hex')}`;

/** The word as it is, as hex, and as base64 at each of the three alignments it can have inside something longer. */
function disguises(word: string): readonly Buffer[] {
  const aligned = [0, 1, 2].map((shift) => {
    const whole = Buffer.concat([Buffer.alloc(shift), Buffer.from(word)]);
    const text = whole.toString('base64').replaceAll('=', '');
    // The first characters depend on what stands before the word, the last on what stands behind it.
    return text.slice(Math.ceil((shift * 4) / 3), -2);
  });
  const urlSafe = aligned.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'));
  return [word, Buffer.from(word).toString('hex'), ...aligned, ...urlSafe].map((text) => Buffer.from(text));
}

function filesUnder(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

test('no title, host, login, password, note or key is in any file or log of the router, in no disguise', async () => {
  const target = await startHttpTarget(cleanup.later);
  const installation = await newInstallation(cleanup.later, ['--log-level', 'debug']);
  const words = Object.fromEntries(
    [
      'app',
      'gateway',
      'config',
      'title',
      'host',
      'login',
      'password',
      'notes',
      'tag',
      'field',
      'edited',
      'served',
      'query',
    ].map((what) => [what, canary(what)]),
  );
  const word = (what: string): string => words[what] ?? '';
  const { pam } = installation;
  await pam(['app', 'new', word('app')]);
  const join64 = await installation.newGateway(word('gateway'), word('app'), 2);
  await pam([
    ...['config', 'new', '-n', word('config'), '-a', word('app'), '-g', word('gateway')],
    ...['--network', '127.0.0.0/8', '--tunneling', 'on', '--notes', word('notes')],
  ]);
  await pam(
    [
      'record',
      'new',
      'pamUser',
      '-n',
      `user ${word('title')}`,
      '-a',
      word('app'),
      '--login',
      word('login'),
      '--password-stdin',
    ],
    { input: `${word('password')}\n` },
  );
  const machine = ['record', 'new', 'pamMachine', '-a', word('app'), '-c', word('config'), '--notes', word('notes')];
  const more = ['--tag', word('tag'), '--field', `rack=${word('field')}`];
  await pam([...machine, '-n', word('title'), '--host', `${word('host')}.invalid`, '--port', '80', ...more]);
  await pam(['record', 'edit', word('title'), '-n', word('edited'), '--credential', `user ${word('title')}:admin`]);
  await pam([...machine, '-n', word('served'), '--host', target.host, '--port', String(target.port)]);
  await installation.startInstance('one', join64).id();
  // One that fails by name, one that succeeds and carries a canary.
  await pam(['tunnel', 'start', '--stdio', word('edited')], { code: 1, input: '' });
  const tunnel = await installation.openTunnel(word('served'));
  expect(await curl(`http://${tunnel.host}:${tunnel.port}/${word('query')}`)).toMatchObject({ code: 0 });
  expect(target.requests.at(-1)?.path).toBe(`/${word('query')}`);
  expect((await pam(['record', 'get', word('edited')])).stdout).toContain(`${word('host')}.invalid`);
  expect((await pam(['record', 'get', `user ${word('title')}`, '--unmask'])).stdout).toContain(word('password'));

  const kit = JSON.parse(readFileSync(installation.kitFile, 'utf8')) as Record<string, string>;
  const secrets = [kit['account_secret'], kit['recovery_code'], kit['recovery_key'], ownersPassword];
  const wanted = [...Object.values(words), ...secrets.filter((secret) => typeof secret === 'string')];
  const look = (): readonly string[] => {
    const places = [
      ...filesUnder(installation.dataDir).map((file) => ({ place: file, bytes: readFileSync(file) })),
      {
        place: 'log of the router',
        bytes: Buffer.from(installation.router.child.stdout() + installation.router.child.stderr()),
      },
    ];
    return places.flatMap(({ place, bytes }) =>
      wanted.flatMap((one) =>
        disguises(one).some((disguise) => bytes.includes(disguise)) ? [`${one} in ${place}`] : [],
      ),
    );
  };
  // While it runs (with its write-ahead log), and after it was stopped.
  expect(look()).toEqual([]);
  await installation.router.kill('SIGTERM');
  expect(look()).toEqual([]);
  // The search itself works: the sign-in name is in the database, as the threat model says.
  expect(filesUnder(installation.dataDir).some((file) => readFileSync(file).includes('anna'))).toBe(true);
});
