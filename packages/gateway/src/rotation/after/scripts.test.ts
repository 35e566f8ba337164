import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Script } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { systemRuntime } from '../../agent/index.ts';
import { formsOfSecrets, redact } from './redact.ts';
import { runOnGateway } from './run-on-gateway.ts';
import { inputLine, scriptsInOrder } from './script-order.ts';

const secret = 'p"ä/ss w&rd+1';
const line = inputLine({ user: 'bob', oldPassword: 'old-one', newPassword: secret, records: [{ uid: 'r' }] });
const given = { line, forms: formsOfSecrets([secret, 'old-one', line.trim()]) };
const run = (body: string, more: Partial<Script> = {}) =>
  runOnGateway({ command: ['/bin/sh'], body, timeoutSeconds: 60, ...more }, given, systemRuntime);

test('scripts run from the user to the resource to the configuration, without those switched off', () => {
  const script = (name: string, enabled = true) => ({ name, enabled }) as Script;
  const holder = (uid: string, ...scripts: Script[]) => ({ uid: uid as never, scripts });
  const order = scriptsInOrder(
    holder('u', script('1'), script('off', false), script('2')),
    holder('r', script('3')),
    holder('c', script('4')),
  );
  expect(order.map((one) => `${one.holder}${one.script.name}`)).toEqual(['u1', 'u2', 'r3', 'c4']);
});

test('an output holds no secret in any common form, not where two overlap nor where it is cut', () => {
  const forms = formsOfSecrets([secret]);
  for (const form of [
    ...[secret, JSON.stringify(secret), encodeURIComponent(secret)],
    ...[Buffer.from(secret).toString('base64'), Buffer.from(secret).toString('base64url')],
  ]) {
    expect(redact(`a ${form} b`, forms, 100)).toMatch(/^a "?\[secret\]=*"? b$/);
  }
  expect(redact('xabcdx', formsOfSecrets(['abc', 'bcd']), 100)).toBe('x[secret]x');
  expect(redact('12345hidden', formsOfSecrets(['hidden']), 7)).toBe('12345[secret]');
});

test('a script reads the line, sees nothing of our environment, and tells no secret', async () => {
  const end = await run('pwd; env; read l; echo "$l" | base64 -d; echo " $l"; echo err >&2; exit 3');
  expect(end).toMatchObject({ exitCode: 3, signal: null, timedOut: false });
  expect(end.output).toContain('"user":"bob","oldPassword":"[secret]","newPassword":"[secret]"');
  expect(end.output).toContain(' [secret]\nerr\n');
  expect(end.output).not.toContain('VITEST');
  const [folder = ''] = end.output.split('\n');
  expect(folder).toContain('sallyport-script-');
  expect(existsSync(folder)).toBe(false);
});

test('a script without a command is run by its first line, and one that cannot be says so', async () => {
  expect(await run('#!/bin/sh\necho own', { command: [] })).toMatchObject({ exitCode: 0, output: 'own\n' });
  const none = await run('', { command: ['/nonexistent/program'] });
  expect(none).toMatchObject({ exitCode: null, signal: null });
  expect(none.output).toContain('ENOENT');
});

test('at its limit the whole group of a script is ended, also one that ignores being asked', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-test-'));
  const ready = join(folder, 'ready');
  const runtime = {
    monotonicMs: () => 0,
    schedule: (_ms: number, fn: () => void) => {
      // No clock: the limit comes once the script stands, the rest at once after.
      const look = setInterval(() => {
        if (!existsSync(ready)) return;
        clearInterval(look);
        fn();
      }, 20);
      return () => clearInterval(look);
    },
  };
  const body = `trap '' TERM; sleep 600 & touch ${ready}; while :; do sleep 600; done`;
  const end = await runOnGateway({ command: ['/bin/sh'], body, timeoutSeconds: 600 }, given, runtime);
  await rm(folder, { recursive: true });
  expect(end).toMatchObject({ exitCode: null, signal: 'SIGKILL', timedOut: true });
});
