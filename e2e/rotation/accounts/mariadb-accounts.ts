import { type Later, type MariaDbServer, startMariaDb } from '@sallyport/testkit';
import type { AccountLab } from './account-lab.ts';

/** MariaDB with an account `rotator` that may change others. */
export async function startMariaDbAccounts(later: Later): Promise<AccountLab & { readonly server: MariaDbServer }> {
  const server = await startMariaDb();
  later(() => server.stop());
  await server.sql(`CREATE USER rotator IDENTIFIED BY 'rotator-of-the-lab-1'`);
  await server.sql('GRANT CREATE USER ON *.* TO rotator; GRANT SELECT ON mysql.global_priv TO rotator');
  return {
    server,
    kind: 'mysql',
    host: '127.0.0.1',
    port: server.port,
    resource: { type: 'pamDatabase', host: '127.0.0.1', port: server.port, databaseType: 'mariadb' },
    admin: { fields: { login: 'rotator' }, secrets: { password: 'rotator-of-the-lab-1' } },
    makeAccount: async (login) => {
      const password = `first-of-${login}`;
      await server.sql(`CREATE USER ${login} IDENTIFIED BY '${password}'`);
      return { fields: { login }, secrets: { password } };
    },
    opens: (login, { password = '' }) => opens(server, login, password),
    restarts: true,
  };
}

/** @throws when the server says anything but yes or wrong password. */
async function opens(server: MariaDbServer, login: string, password: string): Promise<boolean> {
  const said = await server.logIn(login, password);
  if (said !== '' && !said.includes('ERROR 1045 ')) throw new Error(said);
  return said === '';
}
