import { createConnection, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { StoreEngine } from '../../src/store/engine.ts';
import { openPostgres } from '../../src/store/postgres-engine.ts';
import { queriesFor } from '../../src/store/queries.ts';
import { testNowMs } from './engines-time.ts';
import { join } from './samples.ts';

/**
 * A process of the race: reads orders from stdin, one JSON a line, and answers each with one line. `prepare` connects,
 * `go` lets its joiners loose at once and answers what each was told.
 */
export type Order =
  | { readonly kind: 'prepare'; readonly target: RaceTarget }
  | { readonly kind: 'go'; readonly gateway: string; readonly names: readonly string[] };

export type RaceTarget =
  | { readonly kind: 'postgres'; readonly url: string; readonly locks: boolean }
  | { readonly kind: 'socket'; readonly path: string };

type Admit = (gateway: string, name: string) => Promise<string>;

interface Connected {
  readonly admit: Admit;
  readonly close: () => Promise<void>;
}

async function connect(target: RaceTarget): Promise<Connected> {
  if (target.kind === 'socket') return { admit: overSocket(target.path), close: () => Promise.resolve() };
  const engine: StoreEngine = await openPostgres({
    databaseUrl: target.url,
    nowMs: () => testNowMs,
    onTrouble: () => undefined,
    queries: queriesFor('postgres', { locks: target.locks }),
  });
  const admit: Admit = async (gateway, name) => {
    const calls = [{ concept: 'pool', method: 'admit', input: { ...join(name), gateway } }] as const;
    const [answer] = await engine.run(calls);
    return (answer as { outcome: { kind: string } }).outcome.kind;
  };
  return { admit, close: () => engine.close() };
}

/** A connection for each joiner, to the process that owns the SQLite store. */
function overSocket(path: string): Admit {
  return (gateway, name) =>
    new Promise((resolve, reject) => {
      const socket: Socket = createConnection(path, () => socket.write(`${JSON.stringify({ gateway, name })}\n`));
      let text = '';
      socket.on('data', (bytes) => {
        text += bytes.toString();
      });
      socket.on('end', () => resolve(text.trim()));
      socket.on('error', reject);
    });
}

let connected: Connected | null = null;
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as Order;
  if (order.kind === 'prepare') {
    await connected?.close();
    connected = await connect(order.target);
    process.stdout.write('ready\n');
    continue;
  }
  if (connected === null) break;
  const { admit } = connected;
  const outcomes = await Promise.all(
    order.names.map((name) => admit(order.gateway, name).catch((reason: unknown) => `error ${String(reason)}`)),
  );
  process.stdout.write(`${JSON.stringify(outcomes)}\n`);
}
process.exit(0);
