import type { Precondition } from '@sallyport/rotation';

export type AskRows = <Row extends object>(text: string, values: readonly string[]) => Promise<Row[]>;

interface ServerRow {
  readonly version: number;
  readonly is_standby: boolean;
  readonly is_read_only: boolean;
  readonly is_super: boolean;
  readonly makes_roles: boolean;
  readonly has_language: boolean;
}
interface RoleRow {
  readonly is_super: boolean;
  readonly replicates: boolean;
  readonly logs_in: boolean;
  readonly is_valid: boolean;
  readonly is_administered: boolean;
}

const serverText = `
SELECT current_setting('server_version_num')::int AS version,
  pg_catalog.pg_is_in_recovery() AS is_standby,
  current_setting('default_transaction_read_only')::bool AS is_read_only,
  rolsuper AS is_super, rolcreaterole AS makes_roles,
  coalesce((SELECT pg_catalog.has_language_privilege(oid, 'USAGE')
    FROM pg_catalog.pg_language WHERE lanname = 'plpgsql'), false) AS has_language
FROM pg_catalog.pg_roles WHERE rolname = current_user`;

const roleText = `
SELECT rolsuper AS is_super, rolreplication AS replicates, rolcanlogin AS logs_in,
  coalesce(rolvaliduntil > now(), true) AS is_valid,
  pg_catalog.pg_has_role(oid, 'MEMBER WITH ADMIN OPTION') AS is_administered
FROM pg_catalog.pg_roles WHERE rolname::text = $1::text`;

/** From this version on, CREATEROLE is not enough: the role must be granted WITH ADMIN OPTION. */
const adminOptionSince = 160_000;

function mayChange(server: ServerRow, role: RoleRow): boolean {
  if (server.is_super) return true;
  if (!server.makes_roles || role.is_super) return false;
  if (server.version >= adminOptionSince) return role.is_administered;
  return !role.replicates;
}

/** What a dry run looks at; nothing is changed. */
export async function lookAtRole(ask: AskRows, login: string, isOwn: boolean): Promise<readonly Precondition[]> {
  const [server] = await ask<ServerRow>(serverText, []);
  const [role] = await ask<RoleRow>(roleText, [login]);
  const writable = {
    what: 'the server takes writes',
    holds: server !== undefined && !server.is_standby && !server.is_read_only,
    remedy: 'Name the primary in the record; a standby or a read-only server cannot change a role.',
  };
  if (server === undefined || role === undefined)
    return [writable, { what: 'the role exists', holds: false, remedy: 'Correct the login of the record.' }];
  const opens: Precondition[] = [
    { what: 'the role may log in', holds: role.logs_in, remedy: 'ALTER ROLE … LOGIN, or take it out of rotation.' },
    {
      what: 'the role has not expired',
      holds: role.is_valid,
      remedy: "ALTER ROLE … VALID UNTIL 'infinity': an expired password is refused like a wrong one.",
    },
  ];
  if (isOwn) return [writable, ...opens];
  return [
    writable,
    ...opens,
    {
      what: 'this login may change the role and its comment',
      holds: mayChange(server, role),
      remedy:
        server.version >= adminOptionSince
          ? 'GRANT the role to this login WITH ADMIN OPTION, INHERIT FALSE, SET FALSE; superusers need a superuser.'
          : 'ALTER ROLE … CREATEROLE for this login; superusers and replication roles need a superuser.',
    },
    {
      what: 'this login may use PL/pgSQL',
      holds: server.has_language,
      remedy: 'GRANT USAGE ON LANGUAGE plpgsql: the number is compared and the password changed in one block.',
    },
  ];
}
