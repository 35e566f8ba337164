import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import * as protocol from '@sallyport/protocol';
import { newSigningKey } from '@sallyport/seal';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createApiClient, dpopHeaders, errorOf } from '../support/api-client.ts';
import { claim, nowSeconds, type Operator, uid } from '../support/operator.ts';
import { freshRouter } from '../support/router.ts';

interface AnyRoute {
  readonly method: string;
  readonly path: string;
  readonly access: 'public' | 'enrolling' | 'device';
  readonly bodyLimitBytes: number;
}
const routes = Object.values(protocol as Record<string, unknown>).filter(
  (value): value is AnyRoute =>
    typeof value === 'object' && value !== null && 'path' in value && 'bodyLimitBytes' in value,
);
const filled = (path: string): string => path.replace(':uid', uid()).replace(':id', uid());

let router: Awaited<ReturnType<typeof freshRouter>>;
let client: ReturnType<typeof createApiClient>;
let anna: Operator;

beforeAll(async () => {
  router = await freshRouter();
  client = createApiClient(router.port);
  anna = await claim(router);
});
afterAll(() => {
  anna.close();
  client.close();
});

test('every route of the protocol is served, and no other', async () => {
  expect(routes.length).toBeGreaterThan(30);
  for (const { method, path } of routes) {
    const answer = await client.ask({ method, path: filled(path), headers: { 'content-type': 'application/json' } });
    expect(`${method} ${path} ${JSON.stringify(answer.body)}`).not.toContain('there is no route');
  }
  for (const [method, path] of [
    ['GET', '/'],
    ['GET', '/v1/nothing'],
    ['DELETE', '/v1/log'],
    ['OPTIONS', '/v1/info'],
  ]) {
    const answer = await client.ask({ method: method ?? '', path: path ?? '' });
    expect(answer.status).toBe(404);
    expect(errorOf(answer).code).toBe('PAM_NOT_FOUND');
    expect(answer.headers['access-control-allow-origin']).toBeUndefined();
  }
});

test.each(routes.filter((route) => route.access !== 'public').map((route) => [route.method, route.path] as const))(
  '%s %s is refused without a sign-in, before its body is looked at',
  async (method, path) => {
    const answer = await client.ask({ method, path: filled(path), text: '{{{ not JSON' });
    expect(answer.status).toBe(401);
    expect(errorOf(answer).code).toBe('PAM_NOT_SIGNED_IN');
  },
);

test.each(
  routes
    .filter((route) => route.method !== 'GET')
    .map((route) => [route.method, route.path, route.bodyLimitBytes] as const),
)('%s %s refuses a body over %i bytes before it is parsed, naming the limit', async (method, path, limit) => {
  const at = filled(path);
  const headers = await dpopHeaders({ method, path: at }, anna.device, anna.accessToken);
  const answer = await client.ask({ method, path: at, text: '{'.repeat(limit + 1), headers });
  expect(answer.status).toBe(413);
  expect(errorOf(answer)).toMatchObject({ code: 'PAM_TOO_LARGE', detail: { limitBytes: limit } });
});

test.each(routes.filter((route) => route.method !== 'GET').map((route) => [route.method, route.path] as const))(
  '%s %s answers rubbish with PAM_BAD_REQUEST',
  async (method, path) => {
    const at = filled(path);
    for (const text of ['{{{', '[]', '"text"', 'null', '{"unexpected":1}', `{"__proto__":{"a":1}}`]) {
      const headers = await dpopHeaders({ method, path: at }, anna.device, anna.accessToken);
      const answer = await client.ask({ method, path: at, text, headers });
      expect([text, errorOf(answer).code]).toEqual([text, 'PAM_BAD_REQUEST']);
    }
  },
);

test('a proof counts once, now, for this method, path, key and token', async () => {
  const path = '/v1/me';
  const fine = await dpopHeaders({ method: 'GET', path }, anna.device, anna.accessToken);
  expect((await client.ask({ method: 'GET', path, headers: fine })).status).toBe(200);
  const stranger = await newSigningKey();
  const at = { method: 'GET', path };
  const bad: [string, Record<string, string>, string][] = [
    ['replayed', fine, 'PAM_PROOF_INVALID'],
    [
      'stale',
      await dpopHeaders({ ...at, nowSeconds: nowSeconds() - 600 }, anna.device, anna.accessToken),
      'PAM_PROOF_INVALID',
    ],
    [
      'of the future',
      await dpopHeaders({ ...at, nowSeconds: nowSeconds() + 600 }, anna.device, anna.accessToken),
      'PAM_PROOF_INVALID',
    ],
    ['other key', await dpopHeaders(at, stranger, anna.accessToken), 'PAM_PROOF_INVALID'],
    [
      'other path',
      await dpopHeaders({ method: 'GET', path: '/v1/log' }, anna.device, anna.accessToken),
      'PAM_PROOF_INVALID',
    ],
    ['other method', await dpopHeaders({ method: 'POST', path }, anna.device, anna.accessToken), 'PAM_PROOF_INVALID'],
    [
      'for another token',
      { ...(await dpopHeaders(at, anna.device, 'A'.repeat(43))), authorization: `DPoP ${anna.accessToken}` },
      'PAM_PROOF_INVALID',
    ],
    ['unknown token', await dpopHeaders(at, anna.device, 'A'.repeat(43)), 'PAM_NOT_SIGNED_IN'],
    ['no proof', { authorization: `DPoP ${anna.accessToken}` }, 'PAM_PROOF_INVALID'],
    ['bearer', { ...fine, authorization: `Bearer ${anna.accessToken}` }, 'PAM_NOT_SIGNED_IN'],
  ];
  for (const [what, headers, code] of bad) {
    const answer = await client.ask({ method: 'GET', path, headers });
    expect([what, answer.status]).toEqual([what, 401]);
    expect([what, errorOf(answer).code]).toEqual([what, code]);
  }
});

test('bad queries and parameters are named', async () => {
  expect(errorOf(await anna.call('GET', '/v1/log?from=-1'))).toMatchObject({
    code: 'PAM_BAD_REQUEST',
    detail: { field: 'query.from' },
  });
  expect(errorOf(await anna.call('GET', '/v1/log?from=1&from=2')).code).toBe('PAM_BAD_REQUEST');
  expect(errorOf(await anna.call('GET', '/v1/log?other=1')).code).toBe('PAM_BAD_REQUEST');
  expect(errorOf(await anna.call('GET', '/v1/items/..%2f..%2fetc')).code).toBe('PAM_BAD_REQUEST');
  expect(errorOf(await anna.call('GET', `/v1/items/${uid()}`)).code).toBe('PAM_NOT_FOUND');
});

test('device routes carry the heads of audit and log', async () => {
  const { headers } = await anna.call('GET', '/v1/me');
  expect(headers['sallyport-log-head']).toBe(`${anna.log().head.n}:${anna.log().head.hash}`);
  expect(String(headers['sallyport-audit-head']).split('.')).toHaveLength(3);
  expect(headers['cache-control']).toBe('no-store');
});

test('whoever asks for an upgrade that is refused is gone from the router, also when he never hangs up', async () => {
  const raw = connect({ host: '127.0.0.1', port: router.port, allowHalfOpen: true });
  const tls = connectTls({ socket: raw, rejectUnauthorized: false });
  await once(tls, 'secureConnect');
  tls.write('GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
  const [answer] = (await once(tls, 'data')) as [Buffer];
  expect(String(answer)).toContain('404 Not Found');
  const broken = new Promise<string>((resolve) => {
    for (const socket of [raw, tls]) socket.on('error', (reason: NodeJS.ErrnoException) => resolve(`${reason.code}`));
  });
  // Only what nobody holds any more at the other end breaks when it is written to.
  const writing = setInterval(() => tls.write('x'), 100);
  onTestFinished(() => {
    clearInterval(writing);
    raw.destroy();
  });
  expect(await broken).toMatch(/ECONNRESET|EPIPE/);
});
