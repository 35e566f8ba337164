import type { KindTarget, Precondition } from '@sallyport/rotation';
import type { Command, RedisConnection } from './redis-connection.ts';
import type { Reply } from './reply.ts';

/** A user as `ACL GETUSER` tells it. */
export interface RedisUser {
  readonly flags: readonly string[];
  /** SHA-256 of each of its passwords. */
  readonly hashes: readonly string[];
}

/**
 * How users outlive the server: in the file of `aclfile`, in its configuration file, or not at all. `unknown`: this login may
 * not ask.
 */
export type Persistence = 'aclfile' | 'config' | 'none' | 'nowhere' | 'unknown';

const textsOf = (reply: Reply | undefined): readonly string[] =>
  reply?.kind === 'list' ? reply.items.flatMap((item) => (item.kind === 'text' ? [item.text] : [])) : [];

/** @returns the error of the server; `null`: there is no such user. */
export function userOf(reply: Reply | undefined): RedisUser | { readonly error: string } | null {
  if (reply?.kind === 'nothing') return null;
  if (reply?.kind !== 'list') return { error: reply?.kind === 'error' ? reply.text : 'the server told no user' };
  const field = (name: string): readonly string[] =>
    textsOf(reply.items[reply.items.findIndex((item) => item.kind === 'text' && item.text === name) + 1]);
  return { flags: field('flags'), hashes: field('passwords') };
}

/** @throws nothing; PAM_TARGET_RESET when the connection is lost. */
export async function readUserNames(connection: RedisConnection): Promise<readonly string[] | null> {
  const reply = await connection.askOne('ACL', 'USERS');
  return reply.kind === 'list' ? textsOf(reply) : null;
}

const persistences: readonly Persistence[] = ['aclfile', 'config', 'none'];

/** As the record says (`redisPersist`), else as the server tells. */
export async function findPersistence(connection: RedisConnection, target: KindTarget): Promise<Persistence> {
  const said = persistences.find((each) => each === target.custom['redisPersist']);
  if (said !== undefined) return said;
  const [file, server] = await connection.ask([
    ['CONFIG', 'GET', 'aclfile'],
    ['INFO', 'server'],
  ]);
  if (file?.kind !== 'list' || server?.kind !== 'text') return 'unknown';
  if ((textsOf(file)[1] ?? '') !== '') return 'aclfile';
  return /^config_file:\S/m.test(server.text) ? 'config' : 'nowhere';
}

/** The command that keeps the users past a restart; none where the record says that nothing does. */
export function saveCommands(persistence: Persistence): readonly Command[] {
  if (persistence === 'aclfile') return [['ACL', 'SAVE']];
  return persistence === 'config' ? [['CONFIG', 'REWRITE']] : [];
}

export const persistRemedy: Readonly<Record<'nowhere' | 'unknown', string>> = {
  nowhere:
    'The server would open by the old password when it is started again: start it with a configuration file or an aclfile, or say redisPersist=none in the record.',
  unknown:
    'Give this login +config|get and +info, or say in the record how users are kept: redisPersist=aclfile, config or none.',
};

/** Redis 7.0 writes names into its configuration file as they are, and does not start with a quote in one. */
export const breaksConfig = (login: string, persistence: Persistence): boolean =>
  persistence === 'config' && /["'\\]/.test(login);

export const breaksRemedy =
  'With quotes in a name of a user, Redis does not start from its configuration file: use an aclfile.';

/** What a dry run looks at; nothing is changed. */
export async function lookAtUser(
  connection: RedisConnection,
  target: KindTarget,
  me: string,
  login: string,
): Promise<readonly Precondition[]> {
  const user = userOf(await connection.askOne('ACL', 'GETUSER', login));
  if (user === null) return [{ what: 'the user is there', holds: false, remedy: 'Correct the login of the record.' }];
  if ('error' in user) {
    const remedy = 'Give this login +acl|getuser, +acl|setuser, +acl|deluser, +acl|users, +acl|dryrun, +multi, +exec.';
    return [{ what: 'this login may read users', holds: false, remedy }];
  }
  const persistence = await findPersistence(connection, target);
  const keeps = persistence === 'nowhere' || persistence === 'unknown' ? persistRemedy[persistence] : '';
  const needed: readonly Command[] = [
    ['ACL', 'SETUSER', login],
    ['ACL', 'DELUSER', login],
    ['ACL', 'USERS'],
    ['MULTI'],
    ['EXEC'],
    ...saveCommands(persistence),
  ];
  const answers = await connection.ask(needed.map((command) => ['ACL', 'DRYRUN', me, ...command]));
  const missing = needed.filter((_, at) => {
    const answer = answers[at];
    return answer?.kind !== 'text' || answer.text !== 'OK';
  });
  return [
    { what: 'the user is there', holds: true, remedy: '' },
    {
      what: 'the user is switched on',
      holds: user.flags.includes('on'),
      remedy: 'ACL SETUSER … on, or take it out of rotation: Redis answers it like a wrong password.',
    },
    {
      what: 'the user needs a password',
      holds: !user.flags.includes('nopass'),
      remedy:
        'Any password opens it (nopass), so none can be verified: set one, with whoever uses it, before rotating.',
    },
    {
      what: 'this login may change users',
      holds: missing.length === 0,
      remedy: `Redis 7.0 or newer; give this login ${missing.map(permission).join(' ')} +acl|dryrun.`,
    },
    {
      what: 'the name can be kept where the server keeps its users',
      holds: !breaksConfig(login, persistence),
      remedy: breaksRemedy,
    },
    { what: 'the server keeps its users when it is started again', holds: keeps === '', remedy: keeps },
  ];
}

function permission([name = '', sub = '']: Command): string {
  const whole = ['ACL', 'CONFIG'].includes(name) ? `${name}|${sub}` : name;
  return `+${whole.toLowerCase()}`;
}
