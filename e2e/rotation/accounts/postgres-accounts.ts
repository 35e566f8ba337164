import { type Later, type PostgresServer, startPostgres } from '@sallyport/testkit';
import { Client } from 'pg';
import type { AccountLab } from './account-lab.ts';

/** PostgreSQL with a role `rotator` that may change others. */
export async function startPostgresAccounts(later: Later): Promise<AccountLab & { readonly server: PostgresServer }> {
  const server = await startPostgres();
  later(() => server.stop());
  await server.psql('postgres', `CREATE ROLE rotator LOGIN CREATEROLE PASSWORD 'rotator-of-the-lab-1'`);
  return {
    server,
    kind: 'postgresql',
    host: '127.0.0.1',
    port: server.port,
    resource: { type: 'pamDatabase', host: '127.0.0.1', port: server.port, databaseType: 'postgresql' },
    admin: { fields: { login: 'rotator' }, secrets: { password: 'rotator-of-the-lab-1' } },
    makeAccount: async (login) => {
      const password = `first-of-${login}`;
      await server.psql('postgres', `CREATE ROLE ${login} LOGIN PASSWORD '${password}'`);
      return { fields: { login }, secrets: { password } };
    },
    opens: (login, { password = '' }) => opens(server.port, login, password),
    restarts: true,
  };
}

/** @throws when the server says anything but yes or wrong password. */
async function opens(port: number, user: string, password: string): Promise<boolean> {
  const client = new Client({ host: '127.0.0.1', port, user, password, database: 'postgres' });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === '28P01') return false;
    throw error;
  } finally {
    await client.end();
  }
}
