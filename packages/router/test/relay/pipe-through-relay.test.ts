import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type MatchEnd, type Relay, startRelay, type WaitingConnection } from '../../src/relay/index.ts';
import { type Ends, makeEnds, openPipe, startTarget } from './pipe.ts';

let relay: Relay;
let ends: Ends;
const ended = new Map<string, { why: MatchEnd; bytesUp: number; bytesDown: number }>();

beforeAll(async () => {
  const events = {
    onTls: (waiting: WaitingConnection) => waiting.refuse(),
    onEnded: (match: string, end: { why: MatchEnd; bytesUp: number; bytesDown: number }) => void ended.set(match, end),
  };
  relay = await startRelay({ host: '127.0.0.1', port: 0, log: () => undefined, events });
  ends = await makeEnds();
});
afterAll(() => relay.close());

async function collect(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

test('carries a request and its answer, and tells both ends how it ended', async () => {
  const target = await startTarget((socket) =>
    socket.on('data', (bytes) => socket.end(`you said ${bytes.toString()}`)),
  );
  const pipe = await openPipe({ relay, ends, targetPort: target.port });
  pipe.user.write('hello');
  let answer = '';
  pipe.user.on('data', (chunk) => {
    answer += String(chunk);
  });
  // To its end: who ends his side before the target's end has come is the one who closed.
  await once(pipe.user, 'end');
  expect(answer).toBe('you said hello');
  pipe.user.end();
  expect(await pipe.clientOutcome).toMatchObject({ reason: 'target-closed', bytesUp: 5, bytesDown: 14, error: null });
  expect(await pipe.instanceOutcome).toMatchObject({ reason: 'target-closed', bytesUp: 5, bytesDown: 14, error: null });
  await expect.poll(() => ended.get(pipe.match)?.why).toBe('closed');
  target.close();
});

test('passes a half-close each way: the answer comes after the whole request ended', async () => {
  const request = randomBytes(1_048_576);
  const target = await startTarget((socket) => {
    void collect(socket).then((bytes) => socket.end(createHash('sha256').update(bytes).digest()));
  });
  const pipe = await openPipe({ relay, ends, targetPort: target.port });
  pipe.user.end(request);
  expect(await collect(pipe.user)).toEqual(createHash('sha256').update(request).digest());
  expect(await pipe.clientOutcome).toMatchObject({ reason: 'client-closed', error: null });
  target.close();
});

test('carries 1 GiB with an equal SHA-256', async () => {
  const block = randomBytes(1_048_576);
  const blocks = 1_024;
  const sent = createHash('sha256');
  const target = await startTarget((socket) => {
    let left = blocks;
    const push = (): void => {
      while (left > 0) {
        left--;
        if (!socket.write(block)) return;
      }
      socket.end();
    };
    socket.on('drain', push);
    push();
    socket.resume();
  });
  for (let i = 0; i < blocks; i++) sent.update(block);
  const pipe = await openPipe({ relay, ends, targetPort: target.port });
  const got = createHash('sha256');
  let bytes = 0;
  pipe.user.on('data', (chunk) => {
    bytes += chunk.length;
    got.update(chunk);
  });
  await once(pipe.user, 'end');
  pipe.user.end();
  expect(bytes).toBe(1_073_741_824);
  expect(got.digest('hex')).toBe(sent.digest('hex'));
  expect((await pipe.clientOutcome).error).toBeNull();
  target.close();
});
