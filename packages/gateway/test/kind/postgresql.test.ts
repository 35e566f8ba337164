import { createCleanup, type KindServer, kindCases, whyNoPostgres } from '@sallyport/testkit';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { type PostgresLab, postgresLab, startPostgresLab } from './postgresql-lab.ts';

const cleanup = createCleanup();
const noServer = await whyNoPostgres();
let lab: PostgresLab | null = null;

beforeAll(async () => {
  if (noServer === null) lab = await startPostgresLab(cleanup.later);
});
afterAll(() => cleanup.run());

const server = (): KindServer => {
  if (lab === null) throw new Error(noServer ?? 'not started');
  return lab;
};

describe.skipIf(noServer !== null)('PostgreSQL', () => {
  for (const { name, absent, run } of kindCases(postgresLab(server))) test.skipIf(absent !== null)(name, run);
});
