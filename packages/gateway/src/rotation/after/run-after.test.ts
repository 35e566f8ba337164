import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Script } from '@sallyport/protocol';
import { signScript } from '@sallyport/seal';
import { freshUid, honestInstallation } from '@sallyport/testkit';
import { expect, test } from 'vitest';
import { systemRuntime } from '../../agent/index.ts';
import type { FollowUps } from '../execute/job-deps.ts';
import type { OpenedJob } from '../open-job.ts';
import { createAfter } from './run-after.ts';

const now = 1_800_000_000;
const { device, log, app } = await honestInstallation(now);
const [record, configuration] = [freshUid(), freshUid()] as [OpenedJob['offer']['record'], never];
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const after = createAfter({ app, runtime: systemRuntime, log: silent, trust: () => log });

async function signed(name: string, body: string, holder: typeof record = record): Promise<Script> {
  const script = { name, on: 'gateway' as const, command: ['/bin/sh'], body, records: [] };
  const whole = { ...script, timeoutSeconds: 600, enabled: true };
  return { ...whole, signed: await signScript(whole, { app, holder }, device, now) };
}

const followUp = (what: string, holder: string, text: string): string => `${what} ${holder} ${text}`;

/** A store that takes everything, and remembers it. */
function keeping(before: FollowUps['before'] = new Map(), isTaken = true) {
  const told: string[] = [];
  return {
    told,
    before,
    begin: async () => {
      told.push('begun');
      return isTaken;
    },
    end: async (_name: string, _isOnce: boolean, state: string) => void told.push(state),
  };
}

function afterwards(
  ofUser: readonly Script[],
  ofConfiguration: readonly Script[] = [],
  mayAct: () => Promise<boolean> = async () => true,
  followUps: FollowUps = keeping(),
) {
  const settings = { resource: null, services: [], changes: 'password', scripts: ofUser };
  const job = {
    ...{ offer: { record, job: freshUid() }, settings, items: {} },
    user: { login: 'bob', rotation: settings },
    names: { followUp },
    configuration: { uid: configuration, facts: { rotationScripts: ofConfiguration } },
  };
  const [oldSecrets, newSecrets] = ['old-password', 'new-password'].map((password) => ({ password, custom: {} }));
  const never = (): never => {
    throw new Error('nothing here is on a machine');
  };
  return after(job as unknown as OpenedJob, {
    ...{ oldSecrets: oldSecrets ?? null, newSecrets: newSecrets ?? null, epoch: 1 },
    ...{ followUps, signal: new AbortController().signal, mayAct, ioOf: never, keepFirstSeen: never },
  });
}

test('nothing to run is nothing to tell', async () => {
  expect(await afterwards([])).toEqual({ counts: null, told: null });
});

test('scripts run one after the other until one fails, and what they say fits a note', async () => {
  const talks = await signed('talks', 'base64 -d; head -c 60000 /dev/zero | tr "\\0" "\\001"; printf "%60000s" end');
  const { counts, told } = await afterwards(
    [talks, await signed('fails', 'exit 2')],
    [await signed('later', 'exit 0')],
  );
  expect(counts?.scripts).toEqual({ done: 1, failed: 1, unknown: 0, skipped: 1 });
  expect(told).toMatchObject({
    scripts: [
      { name: 'talks', exitCode: 0 },
      { name: 'fails', exitCode: 2 },
      { name: 'later', exitCode: null, result: 'skipped' },
    ],
  });
  expect(JSON.stringify(told).length).toBeLessThan(32_768);
  expect(JSON.stringify(told)).not.toContain('password');
});

test('a script that was signed for another item, or as another text, does not run', async () => {
  for (const script of [
    await signed('x', 'exit 0', configuration),
    { ...(await signed('x', 'exit 1')), body: 'exit 0' },
  ]) {
    const { counts, told } = await afterwards([script]);
    expect(counts?.scripts.failed).toBe(1);
    expect(told).toMatchObject({ scripts: [{ exitCode: null, output: expect.stringContaining('PAM_ORDER_INVALID') }] });
  }
});

test('a script does not begin when the job went to another instance', async () => {
  const { counts } = await afterwards([await signed('x', 'exit 0')], [], async () => false);
  expect(counts?.scripts).toEqual({ done: 0, failed: 0, unknown: 0, skipped: 1 });
});

test('each script is kept by the store before it begins, and when it ended', async () => {
  const store = keeping();
  await afterwards([await signed('a', 'exit 0'), await signed('b', 'exit 3')], [], async () => true, store);
  expect(store.told).toEqual(['begun', 'done', 'begun', 'failed']);
});

test('a script that the store does not keep does not begin', async () => {
  const made = join(mkdtempSync(join(tmpdir(), 'after-')), 'ran');
  const script = await signed('x', `: > ${made}`);
  const { counts } = await afterwards([script], [], async () => true, keeping(new Map(), false));
  expect(counts?.scripts).toEqual({ done: 0, failed: 0, unknown: 0, skipped: 1 });
  expect(existsSync(made)).toBe(false);
});

test('what a lost instance began is not begun again, what it ended is told, and what comes after waits for a person', async () => {
  const [done, begun, later] = [
    await signed('done', 'exit 1'),
    await signed('begun', 'exit 1'),
    await signed('later', 'exit 0'),
  ];
  const before = new Map([
    [followUp('script', record, done.signed), 'done' as const],
    [followUp('script', record, begun.signed), 'begun' as const],
    ['of a text that was edited', 'begun' as const],
  ]);
  const store = keeping(before);
  const { counts, told } = await afterwards([done, begun, later], [], async () => true, store);
  expect(store.told).toEqual([]);
  expect(counts?.scripts).toEqual({ done: 1, failed: 0, unknown: 2, skipped: 1 });
  expect(told).toMatchObject({
    scripts: [
      { name: 'done', result: 'done' },
      { name: 'begun', result: 'unknown', output: expect.stringContaining('its end was not seen') },
      { name: 'later', result: 'skipped' },
      { name: 'edited since', result: 'unknown' },
    ],
  });
});
