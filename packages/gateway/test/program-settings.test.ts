import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort, type Later } from '@sallyport/testkit';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { type ProgramLab, ready, startProgramLab } from './lab/program-lab.ts';

const later: Later = (work) => onTestFinished(work);
let lab: ProgramLab;
beforeEach(async () => {
  lab = await startProgramLab(later);
});

test('each instance gets a folder of its own, and one that was killed leaves its folder free', async () => {
  const first = lab.start([]);
  await first.waitForLine(ready);
  const other = lab.start([]);
  await other.waitForLine(ready);
  expect(existsSync(join(lab.home, 'instances/2/health.sock'))).toBe(true);
  const taken = await lab.run(['start', '--state-dir', join(lab.home, 'instances/1')], {
    GATEWAY_CONFIG: lab.joinText,
  });
  expect(taken).toMatchObject({ code: 4 });
  expect(taken.stderr).toContain('PAM_INSTANCE_DUPLICATE');
  expect(await lab.run(['health-check'])).toMatchObject({ code: 4 });
  first.kill('SIGKILL');
  await first.exited;
  const third = lab.start([]);
  await third.waitForLine(ready);
  expect(third.stdout()).toContain(`${lab.home}/instances/1"`);
  expect(existsSync(join(lab.home, 'instances/3'))).toBe(false);
});

test('the health port answers over HTTP only when asked for', async () => {
  const port = await freePort();
  const asked = lab.start(['--health-port', String(port)]);
  await asked.waitForLine(ready);
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
  expect(await lab.run(['health-check', '--health-port', String(port), '--format', 'json'])).toMatchObject({ code: 0 });
  const silent = lab.start(['--listen-none']);
  await silent.waitForLine(ready);
  expect(existsSync(join(lab.home, 'instances/2/health.sock'))).toBe(false);
});

test('settings come from the flag, then the environment, then the file', async () => {
  const file = join(lab.home, 'settings.json');
  const [a, b, c] = [join(lab.home, 'a'), join(lab.home, 'b'), join(lab.home, 'c')];
  await writeFile(file, JSON.stringify({ 'state-dir': c, 'log-level': 'error' }));
  for (const [args, more, folder] of [
    [['--state-dir', a], { SALLYPORT_STATE_DIR: b, SALLYPORT_LOG_LEVEL: 'info' }, a],
    [[], { SALLYPORT_STATE_DIR: b, SALLYPORT_LOG_LEVEL: 'info' }, b],
    [['--log-level', 'info'], {}, c],
  ] as const) {
    const child = lab.start(['--config', file, ...args], { GATEWAY_CONFIG: lab.joinText, ...more });
    await child.waitForLine(ready);
    expect(existsSync(join(folder, 'instance.lock'))).toBe(true);
    await child.stop();
  }
});

test('help, version and mistakes have their exit codes', async () => {
  expect(await lab.run(['--version'])).toMatchObject({ code: 0, stdout: '0.1.0\n' });
  expect((await lab.run(['start', '--help'])).stdout).toContain('--no-standby');
  expect(await lab.run(['start', '--nonsense'])).toMatchObject({ code: 2 });
  expect(await lab.run(['dance'])).toMatchObject({ code: 2 });
  expect(await lab.run(['start', '--health-port', 'x'], { GATEWAY_CONFIG: lab.joinText })).toMatchObject({ code: 2 });
});
