import { copyFileSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { AuditEvent } from '@sallyport/protocol';
import { type RouterHead, verifyHead } from '@sallyport/seal';
import { createCleanup, tempDir } from '@sallyport/testkit';
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningRouter, startRouter } from '../../src/index.ts';
import { backupStore } from '../../src/program/inspect-store.ts';
import { restoreStore, storeFiles } from '../../src/store/index.ts';
import { claim, installation, type Operator } from '../support/operator.ts';

const cleanup = createCleanup();
const dataDir = tempDir(cleanup.later);
const lines: string[] = [];
let router: RunningRouter;
let anna: Operator;

async function start(): Promise<void> {
  router = await startRouter({ dataDir, log: { level: 'debug', format: 'json', write: (line) => lines.push(line) } });
}
beforeAll(async () => {
  await start();
  anna = await claim(router);
  const { keys } = await installation(anna);
  const mirror = {
    gateway: null,
    configuration: null,
    credentials: [],
    permissions: { connections: 'off', tunneling: 'off', rotation: 'off', recording: 'off' },
  } as const;
  const facts = { title: 'user-title-canary', login: 'login-canary' };
  await anna.putItem(
    await anna.item(keys, 'pamUser', {
      mirror: { ...mirror, credentials: [] },
      facts,
      secrets: { password: 'password-canary' },
    }),
  );
});
afterAll(async () => {
  anna.close();
  await router.stop();
  await cleanup.run();
});

interface Read {
  readonly events: AuditEvent[];
  readonly heads: string[];
}
/** After a restart the operator talks to the same folder on another port. */
async function read(by: Operator): Promise<Read> {
  return by.must<Read>('GET', '/v1/audit?limit=500');
}

/** What a reader checks, from events and signed heads alone, against heads it remembered. */
async function faults({ events, heads }: Read, remembered: readonly RouterHead[]): Promise<string[]> {
  const found: string[] = [];
  const chains = new Map<string, AuditEvent[]>();
  for (const event of events) {
    const key = `${event.router}.${event.start}`;
    chains.set(key, [...(chains.get(key) ?? []), event]);
  }
  const hashAt = new Map<string, string>();
  for (const [key, chain] of chains) {
    let prev = '';
    for (const [i, event] of chain.entries()) {
      const { router: by, start: at, seq, atMs, kind, body, actorEvent } = event;
      const hash = createHash('sha256')
        .update(JSON.stringify([by, at, seq, event.prev, atMs, kind, body, actorEvent]))
        .digest('base64url');
      if (seq !== i + 1 || event.prev !== prev || hash !== event.hash) found.push(`${kind} ${seq} broken`);
      prev = event.hash;
      hashAt.set(`${key}.${seq}`, event.hash);
    }
  }
  const signed = await Promise.all(heads.map((head) => verifyHead(head, [router.pin])));
  for (const head of [...signed, ...remembered]) {
    if (hashAt.get(`${head.router}.${head.start}.${head.seq}`) !== head.hash) found.push(`head ${head.seq} missing`);
  }
  return found;
}

async function headsNow(): Promise<RouterHead[]> {
  return Promise.all((await read(anna)).heads.map((head) => verifyHead(head, [router.pin])));
}

test('every effect is in the chain, with the signed event of its actor, under a signed head', async () => {
  const seen = await read(anna);
  expect(seen.events.map((event) => event.kind)).toEqual([
    'router.started',
    'router.claimed',
    'application.created',
    'gateway.created',
    'item.created',
    'item.created',
    'item.created',
  ]);
  expect(seen.events.filter((event) => event.actorEvent !== null)).toHaveLength(5);
  expect(await faults(seen, await headsNow())).toEqual([]);
});

test('a page carries on where the last one ended, and the newest come first when asked', async () => {
  const { events } = await read(anna);
  const first = await anna.must<Read & { more: boolean }>('GET', '/v1/audit?limit=2');
  expect(first).toMatchObject({ events: events.slice(0, 2), more: true });
  const last = first.events[1];
  const next = await anna.must<Read>('GET', `/v1/audit?limit=500&start=${last?.start}&after=${last?.seq}`);
  expect(next.events).toEqual(events.slice(2));
  const newest = await anna.must<Read>('GET', '/v1/audit?limit=2&order=newest');
  expect(newest.events.map((event) => event.seq).toSorted()).toEqual([6, 7]);
});

async function restarted(change: () => void): Promise<Operator> {
  await router.stop();
  change();
  await start();
  const port = router.port;
  const { createApiClient, dpopHeaders } = await import('../support/api-client.ts');
  const client = createApiClient(port);
  cleanup.later(() => client.close());
  return {
    ...anna,
    must: async <T>(method: string, path: string) =>
      (await client.ask({ method, path, headers: await dpopHeaders({ method, path }, anna.device, anna.accessToken) }))
        .body as T,
  };
}

test('a deleted tail, two swapped rows, a changed body and a restored backup are each seen against remembered heads', async () => {
  const remembered = await headsNow();
  const keep = join(tempDir(cleanup.later), 'keep.sqlite');
  const { file } = storeFiles(dataDir);
  await router.stop();
  copyFileSync(file, keep);
  await start();
  const early = join(tempDir(cleanup.later), 'early.sqlite');
  const edit = (sql: string) => () => {
    const db = new DatabaseSync(file);
    db.exec(sql);
    db.close();
  };
  const back = (): void => copyFileSync(keep, file);
  const clean = await restarted(back);
  expect(await faults(await read(clean), remembered)).toEqual([]);
  const lies = [
    "DELETE FROM audit_event WHERE seq = 7 AND kind = 'item.created'",
    'DELETE FROM audit_event WHERE seq = 3',
    "UPDATE audit_event SET body = replace(body, 'item', 'iten') WHERE seq = 5",
    'UPDATE audit_event SET seq = 100 WHERE seq = 4; UPDATE audit_event SET seq = 4 WHERE seq = 5; UPDATE audit_event SET seq = 5 WHERE seq = 100',
    'DELETE FROM audit_event WHERE seq = 7; UPDATE audit_chain SET seq = 6, hash = (SELECT hash FROM audit_event WHERE seq = 6)',
  ];
  for (const lie of lies) {
    const by = await restarted(() => {
      back();
      edit(lie)();
    });
    expect([lie, await faults(await read(by), remembered)]).not.toEqual([lie, []]);
  }
  await restarted(back);
  backupStore(dataDir, early);
  const later = await restarted(() => undefined);
  await read(later);
  const newest = await Promise.all((await read(later)).heads.map((head) => verifyHead(head, [router.pin])));
  const restored = await restarted(() => {
    restoreStore({ dataDir, from: early, nowMs: Date.now() });
  });
  expect(await faults(await read(restored), newest)).not.toEqual([]);
});

test('database, write-ahead log, side files and log hold no title, host, login, password or key that was planted', async () => {
  const files = readdirSync(dataDir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(dataDir, name))
    .filter((path) => existsSync(path) && statSync(path).isFile());
  expect(files.length).toBeGreaterThan(1);
  const haystack = [...files.map((path) => readFileSync(path, 'latin1')), ...lines].join('\n');
  expect(haystack).toContain(anna.person);
  expect(haystack.match(/[a-z]+(-title)?-canary|host\.canary/g)).toBeNull();
  for (const secret of [anna.password, anna.accountSecret, anna.recoveryCode, anna.accessToken]) {
    expect(haystack.includes(secret)).toBe(false);
  }
});
