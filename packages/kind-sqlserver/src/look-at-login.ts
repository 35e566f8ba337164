import type { Precondition } from '@sallyport/rotation';
import { z } from 'zod';

const flag = z.number().nullable();

/** One row of `lookQuery`: 1, 0, or null where the server cannot say. */
export const lookSchema = z.object({
  is_there: flag,
  is_disabled: flag,
  is_locked: flag,
  may_alter: flag,
  controls: flag,
  is_sysadmin: flag,
  reads: flag,
  inserts: flag,
  updates: flag,
});
export type LoginLook = z.infer<typeof lookSchema>;

/** Asked with `@login`; changes nothing. */
export const lookQuery = `
SELECT
  (SELECT COUNT(*) FROM sys.sql_logins WHERE name = @login) AS is_there,
  (SELECT MAX(CAST(is_disabled AS int)) FROM sys.sql_logins WHERE name = @login) AS is_disabled,
  CAST(LOGINPROPERTY(@login, 'IsLocked') AS int) AS is_locked,
  HAS_PERMS_BY_NAME(QUOTENAME(@login), 'LOGIN', 'ALTER') AS may_alter,
  HAS_PERMS_BY_NAME(NULL, NULL, 'CONTROL SERVER') AS controls,
  IS_SRVROLEMEMBER('sysadmin', @login) AS is_sysadmin,
  HAS_PERMS_BY_NAME('master.sallyport.sends', 'OBJECT', 'SELECT') AS reads,
  HAS_PERMS_BY_NAME('master.sallyport.sends', 'OBJECT', 'INSERT') AS inserts,
  HAS_PERMS_BY_NAME('master.sallyport.sends', 'OBJECT', 'UPDATE') AS updates`;

/** What a dry run tells of a login. */
export function lookAtLogin(look: LoginLook, isOwn: boolean): readonly Precondition[] {
  const is = (value: number | null): boolean => value === 1;
  const there = {
    what: 'there is such a SQL login, and this login sees it',
    holds: look.is_there !== null && look.is_there > 0,
    remedy: 'Correct the login of the record; Windows accounts are not changed here.',
  };
  if (!there.holds) return [there];
  const opens: Precondition[] = [
    { what: 'the login is enabled', holds: !is(look.is_disabled), remedy: 'ALTER LOGIN … ENABLE.' },
    {
      what: 'the login is not locked out',
      holds: !is(look.is_locked),
      remedy: 'Unlock it in SQL Server: a rotation does not open a locked login.',
    },
  ];
  if (isOwn) return [there, ...opens];
  return [
    there,
    ...opens,
    {
      what: 'this login may change it',
      holds: is(look.may_alter) && (is(look.controls) || !is(look.is_sysadmin)),
      remedy: 'GRANT ALTER ANY LOGIN to this login; members of sysadmin need CONTROL SERVER.',
    },
    {
      what: 'this login may keep the send number (table master.sallyport.sends)',
      holds: is(look.reads) && is(look.inserts) && is(look.updates),
      remedy: 'Create the table and grant SELECT, INSERT and UPDATE on it, as docs/rotation-targets.md says.',
    },
  ];
}
