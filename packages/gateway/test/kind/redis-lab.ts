import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import type { Credential, KindAccount, KindTarget } from '@sallyport/rotation';
import { Secret } from '@sallyport/rotation';
import {
  type KindLab,
  type KindLogin,
  type KindServer,
  type Later,
  readKey,
  type RedisOptions,
  type RedisServer,
  startHoldingProxy,
  startRedis,
} from '@sallyport/testkit';
import { redis } from '../../src/kind/redis/redis.ts';

/** As the record of a server without TLS says it. */
export const clearTarget: KindTarget = {
  host: '127.0.0.1',
  port: 6379,
  identity: null,
  useTls: false,
  recordType: 'pamDatabase',
  databaseType: 'redis',
  directoryType: null,
  domain: null,
  replicas: [],
  custom: { redisClearText: 'yes' },
};

export const accountOf = (login: string): KindAccount => ({
  login,
  distinguishedName: null,
  database: null,
  custom: {},
});

export const freshCredential = (): Credential => ({
  kind: 'password',
  password: new Secret(`pw-'"\\$(id)%s\r\n ü ${randomBytes(12).toString('hex')}`),
});

/** What `ACL SETUSER` takes instead of a password. */
export const hashRule = (credential: Credential): string =>
  `#${createHash('sha256')
    .update(credential.kind === 'password' ? credential.password.reveal() : '')
    .digest('hex')}`;

/** Names that a rule, a shell, a format or a file of users would take for something else. */
const hostileLogins = [
  `x';--`,
  'back\\slash',
  '$(id)`id`',
  '%s%n',
  'Grüße-你好-🔑',
  '"quoted"',
  'nopass',
  '>password',
  '#hash',
  '~*',
  '(selector)',
  'sallyport:1:2:3',
  'x'.repeat(300),
] as const;

export interface RedisLab extends KindServer {
  readonly redis: RedisServer;
}

/** What docs/rotation-targets.md gives an administrator. */
const privileges = [
  ...['-@all', '+acl|getuser', '+acl|setuser', '+acl|deluser', '+acl|users', '+acl|dryrun', '+acl|save'],
  ...['+config|rewrite', '+config|get', '+info', '+multi', '+exec'],
];

/** Redis with TLS, a user `rotator` with the rights of the documentation, and everything logged. */
export async function startRedisLab(later: Later, options?: RedisOptions): Promise<RedisLab> {
  const server = await startRedis(later, options);
  const makeUser = async (login: string, rules: readonly string[]): Promise<KindLogin> => {
    const credential = freshCredential();
    await server.run(['ACL', 'SETUSER', login, 'reset', 'on', hashRule(credential), ...rules]);
    return { account: accountOf(login), credential };
  };
  const admin = await makeUser('rotator', privileges);
  const powerless = await makeUser('powerless', ['+ping', '~*']);
  const spki = new X509Certificate(readKey(server).cert).publicKey.export({ type: 'spki', format: 'der' });
  const identity = `sha256:${createHash('sha256').update(spki).digest('base64url')}`;
  const target: KindTarget = { ...clearTarget, port: server.port, useTls: true, identity, custom: {} };
  let made = 0;
  return {
    redis: server,
    target,
    admin,
    makeAccount: (login) => {
      made += 1;
      return makeUser(login ?? `account${made}`, ['~*', '&*', '+@all']);
    },
    nextCredential: freshCredential,
    attempts: () => server.logins(),
    powerless: () => Promise.resolve(powerless),
    missing: () => Promise.resolve(accountOf('not-here')),
    readOnly: async () => {
      const undo = server.blockSaving();
      return () => Promise.resolve(undo());
    },
    hold: async () => {
      const proxy = await startHoldingProxy(later, target, readKey(server), (bytes) =>
        bytes.byteLength === 0 ? null : { end: bytes.byteLength, isHeld: bytes.includes('\r\nMULTI\r\n') },
      );
      return {
        target: { ...target, host: proxy.host, port: proxy.port },
        waiting: () => proxy.waiting(),
        release: () => Promise.resolve(proxy.release()),
        passes: true,
      };
    },
    log: () => server.log(),
    hostileLogins: () => hostileLogins,
  };
}

/** What the suite is told. Its own cases without a server speak to a target without TLS. */
export const redisLab = (server: () => KindServer): KindLab => ({
  kind: redis,
  absent: {
    lock: 'Redis answers a user that is switched off like a wrong password; the dry run tells them apart',
    expire: 'users of Redis do not expire',
    weak: 'there is no policy for passwords, and the server is given a hash, of which it could judge nothing',
    limit: 'Redis gives a command no time limit: it is carried out as soon as it is read',
  },
  target: clearTarget,
  login: { account: accountOf('app'), credential: freshCredential() },
  lies: {
    'a yes that is no text': Buffer.from(':1\r\n'),
    'it announces four gigabytes': Buffer.from('$4294967295\r\n'),
    'a list of a billion': Buffer.from('*1000000000\r\n'),
    'lists in lists': Buffer.from('*1\r\n'.repeat(100_000)),
    'answers to what was not asked': Buffer.from('+PONG\r\n+OK\r\n'),
    'it speaks HTTP': Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
    'an error without an end': Buffer.from('-WRONGPASS'),
  },
  server,
});
