import { appendFileSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ItemUid, JobId } from '@sallyport/protocol';
import { tempDir } from '@sallyport/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { openCandidateJournal } from './candidate-journal.ts';
import { type JournalLimits, journalLimits } from './choose-lines.ts';

const later = (work: () => Promise<void> | void): void => onTestFinished(work);
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const day = 86_400_000;

function candidate(name: string, epoch = 1) {
  const padded = (length: number): string => name.padEnd(length, '_');
  return {
    ...{ account: padded(43), server: 's'.repeat(43), record: padded(22) as ItemUid, job: padded(22) as JobId },
    ...{ epoch, rev: 2, gen: 1, envelope: `${name}.`.repeat(8).padEnd(32, '.') },
  };
}
function open(stateDir: string, nowMs = 40 * day, limits: JournalLimits = journalLimits) {
  return openCandidateJournal({ stateDir, anchor: 'anchor' }, { nowMs: () => nowMs, log: silent }, limits);
}
const jobs = (journal: Awaited<ReturnType<typeof open>>): string[] =>
  journal.entries().map(({ job }) => job.replaceAll('_', ''));
const fileIn = (folder: string): string => join(folder, readdirSync(folder)[0] ?? '');

test('what was kept is there after a death, to the byte, and only its owner reads it', async () => {
  const folder = tempDir(later);
  const journal = await open(folder);
  await Promise.all(['a', 'b', 'c'].map((name) => journal.keep(candidate(name))));
  await journal.keep(candidate('a'));
  journal.sent(candidate('a').account, 5, 17);
  await journal.keep(candidate('d', 9));
  const again = await open(folder);
  expect(jobs(again)).toEqual(['a', 'b', 'c', 'd']);
  for (const { digest, job } of again.entries()) {
    expect(await again.envelope(digest)).toBe(candidate(job.replaceAll('_', '')).envelope);
  }
  expect(again.seen(candidate('a').account)).toEqual({ epoch: 5, send: 17 });
  expect(again.seen(candidate('d').account)).toEqual({ epoch: 9, send: 0 });
  expect(again.seen('nobody')).toEqual({ epoch: 0, send: 0 });
  expect(statSync(fileIn(folder)).mode & 0o777).toBe(0o600);
});

test('a line that was being written, and one that is none of ours, cost nothing else', async () => {
  const folder = tempDir(later);
  await (await open(folder)).keep(candidate('a'));
  appendFileSync(fileIn(folder), `rubbish\n{"half a${'x'.repeat(70_000)}`);
  const journal = await open(folder);
  await journal.keep(candidate('b'));
  const again = await open(folder);
  expect(jobs(again)).toEqual(['a', 'b']);
  expect(readFileSync(fileIn(folder), 'utf8')).not.toContain('rubbish');
});

test('a candidate that was changed on the disk is not given out', async () => {
  const folder = tempDir(later);
  const journal = await open(folder);
  await journal.keep(candidate('a'));
  const [entry] = journal.entries();
  writeFileSync(fileIn(folder), readFileSync(fileIn(folder), 'utf8').replace('a.a.a.', 'a.b.a.'));
  expect(await journal.envelope(entry?.digest ?? '')).toBeNull();
});

test('what is older than 30 days goes, when it is opened and while it runs', async () => {
  const folder = tempDir(later);
  let nowMs = 0;
  const at = { stateDir: folder, anchor: 'anchor' };
  const journal = await openCandidateJournal(at, { nowMs: () => nowMs, log: silent });
  await journal.keep(candidate('a'));
  nowMs = 20 * day;
  await journal.keep(candidate('b'));
  nowMs = 31 * day;
  await journal.keep(candidate('c'));
  expect(jobs(journal)).toEqual(['b', 'c']);
  expect(await journal.envelope(journal.entries()[0]?.digest ?? '')).toBe(candidate('b').envelope);
  expect(jobs(await open(folder, 51 * day))).toEqual(['c']);
});

test('over a limit the oldest go, and the numbers of an account stay', async () => {
  const folder = tempDir(later);
  const limits = { ...journalLimits, candidates: 4 };
  const journal = await open(folder, day, limits);
  journal.sent(candidate('a').account, 5, 17);
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) await journal.keep(candidate(name));
  expect(jobs(journal)).toEqual(['d', 'e', 'f']);
  expect(journal.seen(candidate('a').account)).toEqual({ epoch: 5, send: 17 });
  const small = await open(folder, day, { ...journalLimits, bytes: 700 });
  expect(jobs(small).at(-1)).toBe('f');
  expect(jobs(small).length).toBeLessThan(3);
});

test('a folder that cannot be written is said before anything is done', async () => {
  const folder = join(tempDir(later), 'missing');
  const journal = await open(folder);
  await expect(journal.keep(candidate('a'))).rejects.toMatchObject({ code: 'PAM_CONFIG_INVALID' });
});
