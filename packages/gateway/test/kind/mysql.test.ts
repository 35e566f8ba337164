import { createCleanup, type KindServer, kindCases, requireTarget } from '@sallyport/testkit';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { type MysqlLab, mysqlLab, startMysqlLab } from './mysql-lab.ts';

const cleanup = createCleanup();
const presence = requireTarget('mariadb');
let lab: MysqlLab | null = null;

beforeAll(async () => {
  if (!presence.isMissing) lab = await startMysqlLab(cleanup.later);
}, 60_000);
afterAll(() => cleanup.run());

const server = (): KindServer => {
  if (lab === null) throw new Error(presence.reason || 'not started');
  return lab;
};

describe.skipIf(presence.isMissing)('MariaDB', () => {
  for (const { name, absent, run } of kindCases(mysqlLab(server))) test.skipIf(absent !== null)(name, run);
});
