import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCleanup } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Installation, newInstallation, withPool } from './harness/installation.ts';
import { startProgram } from './harness/programs.ts';
import { patience, until } from './harness/until.ts';

vi.setConfig(patience);

/** Many records by one command: what it writes, and what is left of it when it is killed. */
const cleanup = createCleanup();
const accounts = 150;
let installation: Installation;
let file: string;

interface Row {
  readonly result: string;
  readonly title: string;
  readonly record_uid: string | null;
}

beforeAll(async () => {
  installation = await newInstallation(cleanup.later);
  await withPool(installation);
  file = join(installation.folder, 'lines.jsonl');
  const lines = Array.from({ length: accounts }, (_, n) => ({
    type: 'pamUser',
    title: `account ${n}`,
    login: `account${n}`,
    tags: ['imported'],
    secrets: { password: `planted-${n}` },
  }));
  const machine = { type: 'pamMachine', title: 'host', configuration: 'dc1-net', host: '127.0.0.1', port: 22 };
  const linked = { ...machine, credentials: ['account 0', 'account 1:admin'] };
  writeFileSync(file, [...lines, linked].map((line) => JSON.stringify(line)).join('\n'));
});
afterAll(async () => cleanup.run());

const inProfile = (name: string) => join(installation.home, 'profiles', 'default', name);
const textOf = (path: string) =>
  statSync(path, { throwIfNoEntry: false }) === undefined ? '' : readFileSync(path, 'utf8');
const writes = () => textOf(inProfile('memory.jsonl')).split('\n').length - 1;
const wholes = () => statSync(inProfile('memory.json'), { throwIfNoEntry: false })?.ino ?? null;

/** Revisions of facts and the end of the chain that a kill left, as the next command will read them. */
function remembered(): { readonly revs: ReadonlySet<string>; readonly seq: number } {
  const whole = textOf(inProfile('memory.json'));
  const lines = textOf(inProfile('memory.jsonl')).split('\n').slice(0, -1);
  const revs = new Set<string>();
  let seq = 0;
  for (const text of [...(whole === '' ? [] : [whole]), ...lines]) {
    const seen = JSON.parse(text) as { revs?: object; chains?: Record<string, { seq: number }> };
    for (const key of Object.keys(seen.revs ?? {})) if (key.endsWith('/facts')) revs.add(key.split('/')[0] ?? '');
    for (const chain of Object.values(seen.chains ?? {})) seq = Math.max(seq, chain.seq);
  }
  return { revs, seq };
}

const uidsAtRouter = async (): Promise<readonly string[]> =>
  ((await installation.json(['record', 'list'])) as { records: { record_uid: string }[] }).records.map(
    (record) => record.record_uid,
  );
const importAll = async () => {
  const { rows } = (await installation.json(['record', 'import', file])) as { rows: Row[] };
  const count = (result: string) => rows.filter((row) => row.result === result).length;
  return { rows, made: count('made'), before: count('made before') };
};

test('killed wherever it is: what was acknowledged is remembered, a rerun goes on, and nothing is doubled', async () => {
  let known = 0;
  for (const after of [4, 20, 60]) {
    const [from, whole] = [writes(), wholes()];
    const importing = startProgram(cleanup.later, 'pam', ['record', 'import', file, '--format', 'json'], {
      env: { SALLYPORT_HOME: installation.home },
    });
    await until('the import is on its way', () => writes() - from > after || wholes() !== whole);
    importing.kill('SIGKILL');
    await importing.exited;
    expect(importing.stdout()).toBe('');
    const { revs } = remembered();
    const made = await uidsAtRouter();
    // At most the one that was under way is at the router and not in the profile.
    expect(made.filter((uid) => !revs.has(uid)).length).toBeLessThanOrEqual(1);
    expect(made.length).toBeGreaterThan(known);
    known = made.length;
  }
  expect(known).toBeLessThan(accounts);
  const { rows, made, before } = await importAll();
  expect([made, before]).toEqual([accounts + 1 - known, known]);
  expect(new Set(rows.map((row) => row.record_uid)).size).toBe(accounts + 1);
  expect([...(await uidsAtRouter())].sort()).toEqual(rows.map((row) => row.record_uid).sort());
  expect(await importAll()).toMatchObject({ made: 0, before: accounts + 1 });
  expect(await installation.json(['audit', 'verify'])).toMatchObject({ verified: true });
});

test('a record that was removed is made again by its line, with another UID', async () => {
  const { rows } = await importAll();
  const gone = rows[2]?.record_uid ?? '';
  await installation.pam(['record', 'remove', gone, '--yes']);
  const again = await importAll();
  expect([again.made, again.before]).toEqual([1, accounts]);
  expect(again.rows[2]).toMatchObject({ title: 'account 2', result: 'made' });
  expect(again.rows[2]?.record_uid).not.toBe(gone);
  expect(await importAll()).toMatchObject({ made: 0, before: accounts + 1 });
});

test('two writes of the profile for each record, and the whole is not written for each', async () => {
  const lines = Array.from({ length: 20 }, (_, n) => ({ type: 'pamUser', title: `more ${n}`, tags: ['more'] }));
  file = join(installation.folder, 'more.jsonl');
  writeFileSync(file, lines.map((line) => JSON.stringify(line)).join('\n'));
  for (const command of [
    ['record', 'import', file],
    ['rotation', 'edit', '-f', 'more', '--resource', 'host', '--weekly', 'SUN,03:00', '--tz', 'Europe/Berlin'],
  ]) {
    const [before, whole] = [writes(), wholes()];
    const { stdout } = await installation.pam([...command, '--format', 'json']);
    expect(() => JSON.parse(stdout) as unknown).not.toThrow();
    // Beside two for each: the head of the router's log that the command met when it began.
    if (wholes() === whole) expect(writes() - before).toBeLessThanOrEqual(2 * lines.length + 2);
    else expect(writes()).toBeLessThanOrEqual(2 * lines.length + 2);
  }
});
