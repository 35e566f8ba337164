import { existsSync, readdirSync } from 'node:fs';
import { expect, onTestFinished, test, vi } from 'vitest';
import { type Child, runChild, startChild } from '../process/child.ts';
import { createCleanup } from '../process/cleanup.ts';
import { ownerOf } from './lab-name.ts';
import { type LabHost, startNetworkLab, sweepLabs, requireNetworkLab } from './network-lab.ts';
import { oneWay, silence } from './packet-faults.ts';

const { isMissing } = requireNetworkLab();
const node = process.execPath;

const server = `
  require('node:net').createServer((s) => { s.on('error', () => {}); s.write(s.remoteAddress + '\\n'); s.pipe(s); })
    .listen(4000, '0.0.0.0', () => console.log('up'));
  process.stdin.resume().on('end', () => process.exit());
`;
const client = (address: string): string => `
  const s = require('node:net').connect(4000, ${JSON.stringify(address)});
  s.on('data', (d) => console.log('got ' + d)).on('error', (e) => console.log('error ' + e.code)).on('connect', () => console.log('connected'));
  process.stdin.on('data', (d) => s.write(d)).on('end', () => process.exit());
`;

function runOn(host: LabHost, script: string): Child {
  return startChild(onTestFinished, node, ['-e', script], { within: host.within });
}

function namespacesOf(pid: number): readonly string[] {
  if (!existsSync('/run/netns')) return [];
  return readdirSync('/run/netns').filter((name) => ownerOf(name)?.pid === pid);
}

test.skipIf(isMissing)('hosts see each other under their addresses, and packets vanish as told', async () => {
  const lab = startNetworkLab(onTestFinished, ['one', 'two']);
  const [one, two] = [lab.host('one'), lab.host('two')];
  await runOn(one, server).waitForLine(/up/);

  const connected = runOn(two, client(one.address));
  await connected.waitForLine(new RegExp(`got ${two.address}`));
  // What the one hears is dropped: the connection stands, its bytes wait until it is healed.
  one.setFaults([oneWay('in', two.address)]);
  connected.write('late\n');
  const refused = runOn(two, client(one.address));
  one.setFaults([{ kind: 'reset', direction: 'in', peer: two.address }]);
  await refused.waitForLine(/error ECONNRESET|error ECONNREFUSED/);
  one.setFaults([]);
  const after = runOn(two, client(one.address));
  await after.waitForLine(/connected/);

  one.resetConnections();
  await after.waitForLine(/error ECONNRESET/);

  two.setFaults([{ kind: 'unreachable', direction: 'out', peer: one.address }]);
  await runOn(two, client(one.address)).waitForLine(/error EHOSTUNREACH/);
  // A host's own loopback is its own, and is never touched.
  two.setFaults(silence());
  const own = runOn(two, server);
  await own.waitForLine(/up/);
  await runOn(two, client('127.0.0.1')).waitForLine(/got 127\.0\.0\.1/);
  expect(() => lab.host('three')).toThrow('no host three');
});

test.skipIf(isMissing)('a program there is the child itself: signals reach it, and its pid is its own', async () => {
  const lab = startNetworkLab(onTestFinished, ['one']);
  const child = runOn(lab.host('one'), "console.log('pid ' + process.pid); setInterval(() => {}, 1e3)");
  expect((await child.waitForLine(/pid (\d+)/))[1]).toBe(String(child.pid));
  child.kill('SIGTERM');
  expect(await child.exited).toEqual({ code: null, signal: 'SIGTERM' });
});

test.skipIf(isMissing)('a lab is gone after its test, and after the death of the process that made it', async () => {
  const cleanup = createCleanup();
  const before = namespacesOf(process.pid).length;
  const lab = startNetworkLab(cleanup.later, ['one']);
  expect(namespacesOf(process.pid)).toHaveLength(before + 2);
  // Whatever still runs there ends with it.
  const left = runOn(lab.host('one'), "console.log('up'); setInterval(() => {}, 1e3)");
  await left.waitForLine(/up/);
  await cleanup.run();
  expect(await left.exited).toEqual({ code: null, signal: 'SIGKILL' });
  expect(namespacesOf(process.pid)).toHaveLength(before);

  const module = new URL('./network-lab.ts', import.meta.url).href;
  const script = `
    const { startNetworkLab } = await import(${JSON.stringify(module)});
    startNetworkLab(() => {}, ['one']);
    console.log('up');
    setInterval(() => {}, 1e3);
  `;
  const maker = startChild(onTestFinished, node, ['--input-type=module', '-e', script]);
  await maker.waitForLine(/up/);
  expect(namespacesOf(maker.pid)).toHaveLength(2);
  maker.kill('SIGKILL');
  await maker.exited;
  // The guard does it, and were it killed too, the sweep of the next lab; here both at once.
  sweepLabs();
  await vi.waitFor(() => expect(namespacesOf(maker.pid)).toEqual([]), { timeout: 50_000 });
});

test.skipIf(isMissing)('a lab leads nowhere else', async () => {
  const lab = startNetworkLab(onTestFinished, ['one']);
  const routes = await runChild('ip', ['route', 'show', 'default'], { within: lab.host('one').within });
  expect(routes.stdout).toBe('');
});
