import type { Precondition } from '@sallyport/rotation';
import type { Hello, Privilege } from './reply.ts';
import { mechanism } from './scram.ts';

/** Does one of the privileges allow one of the actions on the users of `database`? */
function allows(privileges: readonly Privilege[], actions: readonly string[], database: string): boolean {
  return privileges.some(
    ({ resource, actions: given }) =>
      given.some((action) => actions.includes(action)) &&
      (resource.anyResource === true || (resource.collection === '' && ['', database].includes(resource.db ?? '-'))),
  );
}

export interface UserLook {
  readonly hello: Hello;
  /** Of each user of that name; null: this login may not look. */
  readonly users: readonly { readonly mechanisms?: readonly string[] | undefined }[] | null;
  readonly privileges: readonly Privilege[];
}

/** What a dry run tells of a user. */
export function lookAtUser(
  { hello, users, privileges }: UserLook,
  database: string,
  isOwn: boolean,
): readonly Precondition[] {
  const actions = isOwn ? ['changeOwnPassword', 'changePassword'] : ['changePassword'];
  const user = users?.[0];
  return [
    {
      what: 'this server is the primary, or a router of a sharded cluster',
      holds: hello.isWritablePrimary,
      remedy: 'Name the primary in the record: a secondary changes no user.',
    },
    {
      what: 'there is such a user, and this login sees it',
      holds: user !== undefined,
      remedy: `Correct login and database (${database}) of the record, or grant the action viewUser.`,
    },
    {
      what: `the user logs in with ${mechanism}`,
      holds: user?.mechanisms?.includes(mechanism) ?? false,
      remedy: `Set its password once by hand, with ${mechanism} among its mechanisms.`,
    },
    {
      what: isOwn ? 'the user may change its own password' : 'this login may change its password',
      holds: allows(privileges, actions, database),
      remedy: `Grant the action ${actions[0]} on the database ${database}, as docs/rotation-targets.md says.`,
    },
  ];
}
