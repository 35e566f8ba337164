import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createCleanup } from '@sallyport/testkit';
import { afterEach, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { legOverWebSocket } from './websocket-leg.ts';

const cleanup = createCleanup();
afterEach(() => cleanup.run());

async function pair(): Promise<readonly WebSocket[]> {
  const http = createServer();
  const wss = new WebSocketServer({ server: http, perMessageDeflate: false });
  cleanup.later(async () => {
    for (const ws of wss.clients) ws.terminate();
    http.close();
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const came = once(wss, 'connection') as Promise<[WebSocket]>;
  const near = new WebSocket(`ws://127.0.0.1:${(http.address() as AddressInfo).port}/`);
  await once(near, 'open');
  return [near, (await came)[0]];
}

test('when both ends said their last byte the connection is given back at once, not after the 30 s of a lost farewell', async () => {
  const sockets = await pair();
  const closed = Promise.all(sockets.map(async (ws) => once(ws, 'close')));
  for (const ws of sockets)
    legOverWebSocket(ws)
      .on('data', () => undefined)
      .end('last');
  expect((await closed).map(([code]) => code as number)).toEqual([1_000, 1_000]);
  // The limit is below the 30 s.
}, 20_000);
