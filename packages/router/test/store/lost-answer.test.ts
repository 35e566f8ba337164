import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { type PostgresServer, startPostgres, whyNoPostgres } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openStore, type Store } from '../../src/store/index.ts';
import { testNowMs } from './engines-time.ts';
import { appUid, gatewayUid, join } from './samples.ts';

/**
 * A proxy before PostgreSQL that, when armed, lets one COMMIT through and cuts the connection before its answer comes
 * back: the router cannot know what became of the transaction.
 */
class CommitCutter {
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #to: number;
  cutsLeft = 0;
  cuts = 0;

  constructor(to: number) {
    this.#to = to;
    this.#server = createServer((client) => this.#join(client));
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, '127.0.0.1', resolve);
    });
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #join(client: Socket): void {
    const database = createConnection({ host: '127.0.0.1', port: this.#to });
    for (const socket of [client, database]) {
      this.#sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => this.#sockets.delete(socket));
    }
    let armed = false;
    client.on('data', (bytes) => {
      if (this.cutsLeft > 0 && bytes.includes('COMMIT')) {
        this.cutsLeft -= 1;
        armed = true;
      }
      database.write(bytes);
    });
    database.on('data', (bytes) => {
      if (!armed) {
        client.write(bytes);
        return;
      }
      // The answer is here, so the commit has happened; it goes no further.
      this.cuts += 1;
      client.destroy();
      database.destroy();
    });
    client.on('end', () => database.end());
    database.on('end', () => client.end());
  }
}

const missing = await whyNoPostgres();
let server: PostgresServer | null = null;
let cutter: CommitCutter | null = null;
let store: Store | null = null;

beforeAll(async () => {
  if (missing !== null) return;
  server = await startPostgres();
  cutter = new CommitCutter(server.port);
  const port = await cutter.listen();
  const url = (await server.createDatabase('lost')).replace(`:${server.port}/`, `:${port}/`);
  store = await openStore({ databaseUrl: url }, { nowMs: () => testNowMs, onFatal: () => undefined });
});

afterAll(async () => {
  await store?.close();
  cutter?.close();
  await server?.stop();
});

function ready(): { cutter: CommitCutter; store: Store } {
  if (cutter === null || store === null) throw new Error('PostgreSQL is not running');
  return { cutter, store };
}

test.skipIf(missing !== null)(
  'a lost COMMIT answer admits nobody twice, and is answered as if it had come',
  async () => {
    const { cutter: cut, store: opened } = ready();
    const gateway = gatewayUid();
    await opened.pool.createGateway({ uid: gateway, app: appUid(), maxInstances: 3, token: null, nowMs: testNowMs });
    for (let i = 0; i < 6; i += 1) {
      cut.cutsLeft = 1;
      const answer = await opened.pool.admit(join(`i${i}`));
      expect(answer?.outcome).toMatchObject(
        i < 3 ? { kind: 'slot', seq: i + 1 } : { kind: 'standby', position: i - 2 },
      );
    }
    expect(cut.cuts).toBe(6);
    const { members } = (await opened.pool.readPool({ gateway })) ?? { members: [] };
    expect(members.map((row) => `${row.membership} ${row.seq}`)).toEqual([
      'slot 1',
      'slot 2',
      'slot 3',
      'standby 4',
      'standby 5',
      'standby 6',
    ]);
  },
);

test.skipIf(missing !== null)(
  'a lost COMMIT answer of something that works once is not taken for a conflict',
  async () => {
    const { cutter: cut, store: opened } = ready();
    const entry = { n: 0, hash: 'h'.repeat(43), entry: 'first' };
    cut.cutsLeft = 1;
    const head = await opened.trust.appendEntries({ expected: null, entries: [entry], nowMs: testNowMs });
    expect(head).toEqual({ n: 0, hash: entry.hash });
    expect(await opened.trust.listEntries({ from: 0, limit: 10 })).toEqual([entry]);
  },
);
