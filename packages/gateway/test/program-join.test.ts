import { readFileSync, statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeJoinConfig, newToken } from '@sallyport/seal';
import { freePort, type Later } from '@sallyport/testkit';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { type ProgramLab, ready, startProgramLab } from './lab/program-lab.ts';

const later: Later = (work) => onTestFinished(work);
let lab: ProgramLab;
beforeEach(async () => {
  lab = await startProgramLab(later);
});

async function putToken(state: 'open' | 'expired' | 'used' = 'open'): Promise<string> {
  const { token, lookup, seal } = await newToken();
  lab.router.tokens.set(lookup, { blob: await seal(await decodeJoinConfig(lab.joinText)), redeemer: null, state });
  return `127.0.0.1:${lab.router.port}:${token}`;
}

test('a redeemed token is written 0600 and acknowledged only then', async () => {
  const file = join(lab.home, 'dc1.conf');
  const { code } = await lab.run(['redeem', '-', '-o', file], {}, await putToken());
  expect(code).toBe(0);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readFileSync(file, 'utf8').trim()).toBe(lab.joinText);
  expect([...lab.router.tokens.values()][0]?.state).toBe('used');
  const printed = await lab.run(['redeem', await putToken()]);
  expect(printed.stdout.trim()).toBe(lab.joinText);
});

test('a redemption that could not be written is not acknowledged and may be asked for again', async () => {
  const token = await putToken();
  const { code, stderr } = await lab.run(['redeem', token, '-o', join(lab.home, 'no/such/folder/x')]);
  expect(code).toBe(2);
  expect(stderr).toContain('cannot be written');
  expect([...lab.router.tokens.values()][0]?.state).toBe('open');
  expect(await lab.run(['redeem', token])).toMatchObject({ code: 0 });
});

test('a start with a token keeps the configuration 0600 and needs no token the next time', async () => {
  const token = await putToken();
  const first = lab.start(['--token', token], {});
  await first.waitForLine(ready);
  await first.stop();
  const kept = join(lab.home, 'instances/1/join.json');
  expect(statSync(kept).mode & 0o777).toBe(0o600);
  for (const [args, more] of [
    [['--token', token], {}],
    [[], { SALLYPORT_TOKEN: token }],
    [[], {}],
  ] as const) {
    const again = lab.start(args, more);
    await again.waitForLine(ready);
    expect(again.stdout()).toContain('instances/1"');
    await again.stop();
  }
});

test('expired, used, unknown, truncated and misdirected tokens each get their own message', async () => {
  const unknown = `127.0.0.1:${lab.router.port}:${(await newToken()).token}`;
  const good = await putToken();
  const cases: [string, string, number][] = [
    [await putToken('expired'), 'PAM_TOKEN_EXPIRED', 4],
    [await putToken('used'), 'PAM_TOKEN_USED', 4],
    [unknown, 'PAM_TOKEN_UNKNOWN', 3],
    [good.slice(0, -7), 'PAM_TOKEN_INVALID', 2],
    [good.split(':').at(-1) ?? '', 'PAM_TOKEN_INVALID', 2],
    [`127.0.0.1:${await freePort()}:${good.split(':').at(-1)}`, 'PAM_ROUTER_UNREACHABLE', 69],
  ];
  for (const [token, expected, exit] of cases) {
    const { code, stderr } = await lab.run(['redeem', token]);
    expect([stderr.split(': ')[1], code]).toEqual([expected, exit]);
    expect(stderr).not.toContain(good.split(':').at(-1));
  }
});

test('truncated, damaged, foreign and missing configurations each get their own message', async () => {
  const folder = join(lab.home, 'empty');
  await mkdir(folder);
  const foreign = Buffer.from(JSON.stringify({ hostname: 'keepersecurity.com', clientId: 'x' })).toString('base64');
  const cases: [string | undefined, RegExp][] = [
    [lab.joinText.slice(0, 200), /PAM_JOIN_CONFIG_INVALID: .*(truncated|cut off)/i],
    ['!!!!', /PAM_JOIN_CONFIG_INVALID/],
    [foreign, /PAM_JOIN_CONFIG_INVALID/],
    [undefined, /PAM_CONFIG_INVALID: no join configuration/],
  ];
  const messages = new Set<string>();
  for (const [text, pattern] of cases) {
    const { code, stderr } = await lab.run(['start', '--state-dir', folder], { GATEWAY_CONFIG: text });
    expect(code).toBe(2);
    expect(stderr).toMatch(pattern);
    messages.add(stderr);
  }
  expect(messages.size).toBe(cases.length);
});
