import { createCleanup, startPostgres, tempDir, whyNoPostgres } from '@sallyport/testkit';
import { afterAll, expect, test } from 'vitest';
import { startRouter } from '../../src/index.ts';
import { createApiClient, dpopHeaders } from '../support/api-client.ts';
import { claim, installation } from '../support/operator.ts';
import { member } from '../support/scripted-instance.ts';

const cleanup = createCleanup();
afterAll(() => cleanup.run());

const noPostgres = await whyNoPostgres();

test.skipIf(noPostgres !== null)(
  'on PostgreSQL a router is claimed, admits an instance, and comes back with everything after a restart',
  async () => {
    const postgres = await startPostgres();
    cleanup.later(() => postgres.stop());
    const dataDir = tempDir(cleanup.later);
    const start = () => startRouter({ dataDir, databaseUrl: postgres.url });
    const first = await start();
    const anna = await claim(first);
    const { pool, machine } = await installation(anna);
    const instance = await member(first, anna, pool);
    instance.close();
    await first.stop();
    anna.close();

    const second = await start();
    cleanup.later(() => second.stop());
    expect(second).toMatchObject({ pin: first.pin, setupCode: null });
    const client = createApiClient(second.port);
    cleanup.later(() => client.close());
    for (const path of [`/v1/items/${machine.uid}`, '/v1/gateways', '/v1/audit']) {
      const headers = await dpopHeaders({ method: 'GET', path }, anna.device, anna.accessToken);
      expect((await client.ask({ method: 'GET', path, headers })).status).toBe(200);
    }
  },
);
