import { escapeLiteral } from 'pg';

/** Raised by our own block below; five characters of a class that PostgreSQL leaves to its users. */
export const fencedState = 'SP001';
/** `Sall` in ASCII: our corner of the advisory locks of a database. */
const lockClass = 0x53_61_6c_6c;
/** What we add at the end of a role's comment; what an operator wrote before it stays. */
const markPattern = String.raw`\s*\[sallyport:([0-9]{1,15})\]\s*$`;

export interface RoleWrite {
  readonly login: string;
  readonly verifier: string;
  readonly send: number;
  readonly limitMs: number;
}

const limits = (limitMs: number): string =>
  ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout']
    .map((name) => `SET LOCAL ${name} = ${Math.max(1, Math.floor(limitMs))};`)
    .join(' ');

/**
 * The write of an administrator, as one message and one transaction.
 *
 * P1 `ALTER ROLE` comes before the number is read. It holds the role's row to the end of the transaction, whatever
 *    database its session is in, so nobody else's number can come between; an error takes it back with the rest.
 * P2 the advisory lock is only courtesy: it is of one database, and spares two writers there `tuple concurrently updated`.
 * P3 the block is one statement and the server ends it after `limitMs`, waits for locks included.
 */
export function numberedWrite({ login, verifier, send, limitMs }: RoleWrite): string {
  const role = escapeLiteral(login);
  const block = `
DECLARE
  role_id oid;
  kept text;
BEGIN
  SELECT oid INTO role_id FROM pg_catalog.pg_roles WHERE rolname::text = ${role}::text;
  IF role_id IS NULL THEN RAISE undefined_object USING MESSAGE = 'there is no such role'; END IF;
  PERFORM pg_catalog.pg_advisory_xact_lock(${lockClass}, (role_id::bigint % 2147483647)::int);
  EXECUTE pg_catalog.format('ALTER ROLE %I PASSWORD %L', ${role}::text, ${escapeLiteral(verifier)}::text);
  kept := pg_catalog.shobj_description(role_id, 'pg_authid');
  IF coalesce(substring(kept from ${escapeLiteral(markPattern)})::bigint, 0) >= ${send} THEN
    RAISE EXCEPTION USING ERRCODE = '${fencedState}', MESSAGE = 'the role has seen this send or a higher one';
  END IF;
  EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', ${role}::text,
    pg_catalog.concat_ws(' ', nullif(pg_catalog.regexp_replace(kept, ${escapeLiteral(markPattern)}, ''), ''), '[sallyport:${send}]'));
END`;
  return `BEGIN; ${limits(limitMs)} DO ${escapeLiteral(block)}; COMMIT`;
}

/** The account changes itself. It may not comment on itself, so no number is kept: the fence is `evict`. */
export function ownWrite({ verifier, limitMs }: Pick<RoleWrite, 'verifier' | 'limitMs'>): string {
  return `BEGIN; ${limits(limitMs)} ALTER ROLE CURRENT_USER PASSWORD ${escapeLiteral(verifier)}; COMMIT`;
}

/** The number kept for a role, as text; no row when there is no such role. */
export const markQuery = `
SELECT coalesce(substring(pg_catalog.shobj_description(oid, 'pg_authid') from ${escapeLiteral(markPattern)}), '0') AS mark
FROM pg_catalog.pg_roles WHERE rolname::text = $1::text`;
