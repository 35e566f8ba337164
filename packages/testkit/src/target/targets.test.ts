import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { runChild } from '../process/child.ts';
import { tempDir } from '../process/temp-dir.ts';
import { startFaultProxy } from './fault-proxy.ts';
import { startHttpTarget } from './http-target.ts';
import { requireTarget } from './require-target.ts';
import { startSshd } from './sshd.ts';
import { amplifier, echo, neverReads, resets, sends, startTcpTarget } from './tcp-target.ts';

function dial(port: number) {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  return socket;
}

async function readAll(socket: ReturnType<typeof dial>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

test('the echo target answers what it got, half-closes, and keeps account', async () => {
  const target = await startTcpTarget(onTestFinished, echo);
  const socket = dial(target.port);
  socket.end('hello');
  expect((await readAll(socket)).toString()).toBe('hello');
  expect(target.accepted).toMatchObject([{ number: 1, bytesIn: 5, end: 'fin' }]);
});

test('the amplifier answers more than it is asked, the sender its length exactly', async () => {
  const loud = await startTcpTarget(onTestFinished, amplifier(3));
  const asked = dial(loud.port);
  asked.end(Buffer.alloc(100_000));
  expect(await readAll(asked)).toHaveLength(300_000);
  const sender = await startTcpTarget(onTestFinished, sends(1_000_001));
  expect(await readAll(dial(sender.port))).toHaveLength(1_000_001);
});

test('a target that never reads closes its window', async () => {
  const target = await startTcpTarget(onTestFinished, neverReads);
  const socket = dial(target.port);
  await target.whenAccepted(1);
  socket.write(Buffer.alloc(32 * 1024 * 1024));
  expect(socket.writableNeedDrain).toBe(true);
  expect(target.accepted[0]?.bytesIn).toBe(0);
});

test('a target that resets is told apart from one that ends', async () => {
  const target = await startTcpTarget(onTestFinished, resets);
  const socket = dial(target.port);
  socket.write('x');
  const [error] = await once(socket, 'error');
  expect(error).toMatchObject({ code: 'ECONNRESET' });
});

test('the HTTP target counts connections, not requests', async () => {
  const target = await startHttpTarget(onTestFinished);
  const ask = async (connection: string): Promise<unknown> =>
    (await fetch(`http://127.0.0.1:${target.port}/`, { headers: { connection } })).json();
  expect(await ask('close')).toEqual({ connection: 1, connections: 1, request: 1 });
  expect(await ask('close')).toEqual({ connection: 2, connections: 2, request: 2 });
  expect(target.accepted).toHaveLength(2);
});

test('the fault proxy passes bytes unchanged, and cuts after exactly as many as asked', async () => {
  const target = await startTcpTarget(onTestFinished, echo);
  const proxy = await startFaultProxy(onTestFinished, target);
  const whole = dial(proxy.port);
  whole.end('unchanged');
  expect((await readAll(whole)).toString()).toBe('unchanged');
  proxy.cutAfter(1_000);
  const broken = dial(proxy.port);
  broken.write(Buffer.alloc(5_000));
  await expect(readAll(broken)).rejects.toMatchObject({ code: 'ECONNRESET' });
  expect(target.accepted[1]?.bytesIn).toBeLessThanOrEqual(1_000);
});

test('a frozen proxy passes nothing until it thaws', async () => {
  const target = await startTcpTarget(onTestFinished, echo);
  const proxy = await startFaultProxy(onTestFinished, target);
  const socket = dial(proxy.port);
  await target.whenAccepted(1);
  proxy.freeze();
  socket.end('late');
  expect(proxy.passed()).toEqual({ up: 0, down: 0 });
  proxy.thaw();
  expect((await readAll(socket)).toString()).toBe('late');
});

test('a missing target is a skip, with CI=true a failure; an unknown one is a mistake', () => {
  expect(() => requireTarget('no-such-program')).toThrow('no target');
  expect(requireTarget('procps', {}).isMissing).toBe(false);
});

const ssh = [requireTarget('sshd'), requireTarget('ssh')];
test.skipIf(ssh.some(({ isMissing }) => isMissing))('sshd takes commands and files from ssh and scp', async () => {
  const sshd = await startSshd(onTestFinished);
  const folder = tempDir(onTestFinished);
  writeFileSync(join(folder, 'a'), 'by scp');
  const login = `${sshd.user}@${sshd.host}`;
  const echoed = await runChild('ssh', [...sshd.clientOptions(), '-p', `${sshd.port}`, login, 'echo', 'by ssh']);
  expect(echoed).toMatchObject({ code: 0, stdout: 'by ssh\n' });
  const paths = [join(folder, 'a'), `${login}:${join(folder, 'b')}`];
  const copied = await runChild('scp', ['-q', ...sshd.clientOptions(), '-P', `${sshd.port}`, ...paths]);
  expect(copied.code).toBe(0);
  expect(readFileSync(join(folder, 'b'), 'utf8')).toBe('by scp');
  expect(sshd.log()).toContain('Accepted publickey');
});
