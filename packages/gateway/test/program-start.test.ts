import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PamError } from '@sallyport/protocol';
import { decodeJoinConfig } from '@sallyport/seal';
import { type Later, runChild } from '@sallyport/testkit';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { type ProgramLab, ready, startProgramLab } from './lab/program-lab.ts';

const later: Later = (work) => onTestFinished(work);
let lab: ProgramLab;
beforeEach(async () => {
  lab = await startProgramLab(later);
});

test('a start from GATEWAY_CONFIG becomes ready, answers health checks, and ends on SIGTERM with a bye and 0', async () => {
  const child = lab.start([], { GATEWAY_CONFIG: lab.joinText, ACCEPT_EULA: 'Y' });
  await child.waitForLine(ready);
  const text = await lab.run(['health-check']);
  expect(text).toMatchObject({ code: 0 });
  expect(text.stdout).toMatch(/^ready \(slot\): instance [\w-]{22}, 0 streams/);
  const json = await lab.run(['health-check', '--format', 'json', '--state-dir', join(lab.home, 'instances/1')]);
  expect(JSON.parse(json.stdout)).toMatchObject({
    ready: true,
    membership: 'slot',
    gateway: lab.gateway,
  });
  expect(await child.stop(50_000)).toEqual({ code: 0, signal: null });
  expect(lab.router.byes).toEqual(['drained']);
  expect(await lab.run(['health-check'])).toMatchObject({ code: 69 });
});

test('the join configuration is in no log line, and gone from the environment of the program', async () => {
  const probe = join(lab.home, 'probe.mjs');
  await writeFile(
    probe,
    `const { takenSecrets } = await import(${JSON.stringify(join(import.meta.dirname, '../src/program/take-secrets.ts'))});
    const { execFileSync } = await import('node:child_process');
    const seen = execFileSync('/usr/bin/env').toString() + execFileSync('/bin/cat', ['/proc/self/environ']).toString();
    console.log(JSON.stringify({ taken: takenSecrets.joinConfig?.length, own: 'GATEWAY_CONFIG' in process.env, child: seen.includes('GATEWAY_CONFIG'), token: seen.includes('SALLYPORT_TOKEN') }));`,
  );
  const { stdout } = await runChild(process.execPath, [probe], {
    env: lab.environment({ GATEWAY_CONFIG: lab.joinText, SALLYPORT_TOKEN: 'host:token' }),
  });
  expect(JSON.parse(stdout)).toEqual({ taken: lab.joinText.length, own: false, child: false, token: false });
  const child = lab.start(['--log-level', 'debug']);
  await child.waitForLine(ready);
  await child.stop();
  const secrets = [
    lab.joinText.slice(40, 80),
    (await decodeJoinConfig(lab.joinText)).signKey.d,
    (await decodeJoinConfig(lab.joinText)).boxKey.d,
  ];
  for (const secret of secrets) expect(child.stdout() + child.stderr()).not.toContain(secret);
});

test('a launcher may hand the configuration over a pipe instead of the environment', async () => {
  const env = { ...process.env, ...lab.environment(), SALLYPORT_HANDOVER_FD: '3' } as NodeJS.ProcessEnv;
  const child = spawn(process.execPath, [lab.program, 'start', '--log-format', 'json', '--exit-with-stdin'], {
    env,
    stdio: ['pipe', 'pipe', 'inherit', 'pipe'],
  });
  const handover = child.stdio[3] as import('node:stream').Writable;
  handover.end(JSON.stringify({ GATEWAY_CONFIG: lab.joinText }));
  let seen = '';
  await new Promise<void>((done) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      seen += String(chunk);
      if (ready.test(seen)) done();
    });
    child.on('exit', () => done());
  });
  expect(seen).toMatch(ready);
  expect(readFileSync(`/proc/${child.pid}/environ`, 'utf8')).not.toContain('GATEWAY_CONFIG');
  child.stdin?.end();
  expect(await new Promise((done) => child.on('exit', done))).toBe(0);
});

test('closing its stdin ends a program that was asked for it', async () => {
  const child = lab.start(['--exit-with-stdin']);
  await child.waitForLine(ready);
  child.closeStdin();
  expect(await child.exited).toEqual({ code: 0, signal: null });
});

test('a full pool ends --no-standby with exit code 4 and words', async () => {
  lab.router.script.refuseHello = new PamError('PAM_POOL_FULL', 'pool full: maximum 3, connected 3');
  const { code, stderr } = await lab.run(['start', '--no-standby'], { GATEWAY_CONFIG: lab.joinText });
  expect(code).toBe(4);
  expect(stderr).toContain('pool full: maximum 3, connected 3');
  expect((await lab.router.links[0]?.hello)?.noStandby).toBe(true);
});

test('a second signal ends it at once, whatever the first still waits for', async () => {
  const child = lab.start(['--drain-deadline', '3600']);
  await child.waitForLine(ready);
  // A stop takes as long as the router takes to answer the bye: this one never does.
  lab.router.script.answersBye = false;
  child.kill('SIGTERM');
  await child.waitForLine(/"msg":"stopping"/);
  child.kill('SIGTERM');
  expect(await child.exited).toEqual({ code: 130, signal: null });
});

test('a process whose identity another live one has goes on by itself as a new instance, and says what it was', async () => {
  const { router } = lab;
  const ids: string[] = [];
  router.script.refuseHello = new PamError('PAM_INSTANCE_DUPLICATE', 'another live process is this instance');
  const child = lab.start();
  for (let n = 0; n < 2; n++) {
    const link = await router.nextLink();
    ids.push((await link.hello).instance);
  }
  router.script.refuseHello = null;
  const taken = await child.waitForLine(/"was":"([\w-]{22})".*going on as a new instance/);
  const line = await child.waitForLine(/"instance":"([\w-]{22})".*"msg":"ready"/);
  expect(ids).toEqual([taken[1], taken[1]]);
  expect(line[1]).not.toBe(taken[1]);
  // Nothing was said to the router in the older one's name.
  expect(router.byes).toEqual([]);
  expect(await child.stop(50_000)).toEqual({ code: 0, signal: null });
});

test('two processes on copies of one state folder are two members: no identity is kept on disk', async () => {
  const { router } = lab;
  const folder = join(lab.home, 'first');
  const first = lab.start(['--state-dir', folder]);
  const [, one] = await first.waitForLine(/"instance":"([\w-]{22})".*"msg":"ready"/);
  await first.stop();
  const copy = join(lab.home, 'copy');
  await cp(folder, copy, { recursive: true });
  const [second, third] = [lab.start(['--state-dir', folder]), lab.start(['--state-dir', copy])];
  const [, two] = await second.waitForLine(/"instance":"([\w-]{22})".*"msg":"ready"/);
  const [, three] = await third.waitForLine(/"instance":"([\w-]{22})".*"msg":"ready"/);
  expect(new Set([one, two, three]).size).toBe(3);
  expect(router.links.length).toBeGreaterThanOrEqual(3);
});
