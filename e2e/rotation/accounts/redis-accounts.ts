import { createHash } from 'node:crypto';
import { type Later, runChild, startRedis } from '@sallyport/testkit';
import type { AccountLab } from './account-lab.ts';

const hashOf = (password = ''): string => createHash('sha256').update(password).digest('hex');

/** Redis with users that may use every key, and a user `rotator` that may change users. */
export async function startRedisAccounts(
  later: Later,
): Promise<AccountLab & { readonly ruleAdmin: (...rules: readonly string[]) => Promise<void> }> {
  const server = await startRedis(later);
  const makeUser = async (login: string, password: string, ...rules: readonly string[]): Promise<void> => {
    await server.run(['ACL', 'SETUSER', login, 'on', `>${password}`, ...rules], ['ACL', 'SAVE']);
  };
  const admin = { login: 'rotator', password: 'rotator-of-the-lab-1' };
  await makeUser(admin.login, admin.password, '+@all');
  return {
    kind: 'redis',
    host: server.host,
    port: server.port,
    resource: { type: 'pamDatabase', host: server.host, port: server.port, databaseType: 'redis', useSsl: true },
    admin: { fields: { login: admin.login }, secrets: { password: admin.password } },
    makeAccount: async (login) => {
      const password = `first-of-${login}`;
      await makeUser(login, password, '~*', '+@read', '+ping');
      return { fields: { login }, secrets: { password } };
    },
    opens: (login, { password = '' }) => opens(server.plainPort, login, password),
    restarts: true,
    ruleAdmin: async (...rules) => void (await server.run(['ACL', 'SETUSER', admin.login, ...rules], ['ACL', 'SAVE'])),
    beside: {
      at: async (login) => (await server.run(['ACL', 'GETUSER', login])).match(/^[0-9a-f]{64}$/gm) ?? [],
      formOf: ({ password }) => hashOf(password),
    },
  };
}

/** @throws when the server says anything but yes or wrong password. */
async function opens(port: number, login: string, password: string): Promise<boolean> {
  const args = ['-p', String(port), '--user', login, 'PING'];
  const { stdout, stderr } = await runChild('/usr/bin/redis-cli', args, { env: { REDISCLI_AUTH: password } });
  if (stdout.trim() === 'PONG') return true;
  if (`${stdout}${stderr}`.includes('WRONGPASS')) return false;
  throw new Error(`redis-cli: ${stdout}${stderr}`);
}
