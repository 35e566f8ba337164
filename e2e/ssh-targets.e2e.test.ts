import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCleanup, programPath, requireTarget, runChild, startSshd } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Installation, newInstallation, newMachine, withPool } from './harness/installation.ts';
import type { Instance } from './harness/instance.ts';
import { patience } from './harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
const missing = [requireTarget('sshd'), requireTarget('ssh')].find((one) => one.isMissing);
if (missing) console.info(`skipped: ssh and scp through a tunnel: ${missing.reason}`);

let installation: Installation;
let config: string;
let instances: Instance[] = [];
let sshd: Awaited<ReturnType<typeof startSshd>>;
let bigFile: string;

beforeAll(async () => {
  if (missing) return;
  sshd = await startSshd(cleanup.later);
  installation = await newInstallation(cleanup.later);
  config = await withPool(installation);
  await newMachine(installation, 'shell', sshd);
  instances = ['one', 'two'].map((name) => installation.startInstance(name, config));
  await Promise.all(instances.map((instance) => instance.id()));
  bigFile = join(installation.folder, 'big');
  writeFileSync(bigFile, randomBytes(64 * 1024 * 1024));
});
afterAll(() => cleanup.run());

const sha256 = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

/** What stands in a user's ssh_config: no listener, no port, one `pam` per connection. */
const throughStdio = (): readonly string[] => [
  ...sshd.clientOptions(),
  ...['-o', `ProxyCommand=${process.execPath} ${programPath('pam')} tunnel start --stdio %n`],
];
const environment = (): Readonly<Record<string, string>> => ({ SALLYPORT_HOME: installation.home });

test.skipIf(missing !== undefined)('ssh runs a command through --stdio and gives its exit code', async () => {
  const run = await runChild('ssh', [...throughStdio(), `${sshd.user}@shell`, 'echo over stdio; exit 7'], {
    env: environment(),
  });
  expect(run).toMatchObject({ code: 7, stdout: 'over stdio\n' });
});

test.skipIf(missing !== undefined)('scp carries 64 MiB up and down through --stdio, byte for byte', async () => {
  const [up, down] = [join(installation.folder, 'up'), join(installation.folder, 'down')];
  expect(
    await runChild('scp', [...throughStdio(), '-q', bigFile, `${sshd.user}@shell:${up}`], { env: environment() }),
  ).toMatchObject({ code: 0 });
  expect(sha256(up)).toBe(sha256(bigFile));
  expect(
    await runChild('scp', [...throughStdio(), '-q', `${sshd.user}@shell:${up}`, down], { env: environment() }),
  ).toMatchObject({ code: 0 });
  expect(sha256(down)).toBe(sha256(bigFile));
});

test.skipIf(missing !== undefined)(
  'scp carries 64 MiB through a listener, also after an instance was killed and replaced',
  async () => {
    const tunnel = await installation.openTunnel('shell');
    const copy = (to: string) =>
      runChild('scp', [
        ...sshd.clientOptions(),
        '-q',
        '-P',
        String(tunnel.port),
        bigFile,
        `${sshd.user}@${tunnel.host}:${to}`,
      ]);
    const [first, second] = [join(installation.folder, 'first'), join(installation.folder, 'second')];
    expect(await copy(first)).toMatchObject({ code: 0, stderr: '' });
    await instances.shift()?.kill();
    instances.push(installation.startInstance('three', config));
    expect(await copy(second)).toMatchObject({ code: 0, stderr: '' });
    for (const file of [first, second]) expect(sha256(file)).toBe(sha256(bigFile));
  },
);
