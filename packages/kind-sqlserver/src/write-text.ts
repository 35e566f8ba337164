/** Raised by our own batch below: numbers of 50,000 and more are left to users. */
export const ownErrors = { fenced: 58_301, absent: 58_302, late: 58_303 } as const;

export interface LoginWrite {
  readonly login: string;
  readonly password: string;
  readonly send: number;
  readonly limitMs: number;
}

/** A name in brackets, as `QUOTENAME` makes it. */
const nameText = (name: string): string => `[${name.replaceAll(']', ']]')}]`;
/** A literal: the only character with a meaning inside is the quote. */
const literal = (text: string): string => `N'${text.replaceAll("'", "''")}'`;
/** The last word of a batch: without it nothing is known to be done, whatever the library makes of the answer. */
const saysWritten = (send: number): string => `SELECT N'${send}' AS written;`;
/** The semicolon in front belongs to it: THROW is no reserved word. */
const thrown = (number: number, text: string): string => `BEGIN ;THROW ${number}, ${literal(text)}, 1; END;`;
const limitText = (limitMs: number): string => String(Math.max(1, Math.floor(limitMs)));

/**
 * The write of an administrator, as one batch and one transaction.
 *
 * S1 The row with the number is locked before it is read, to the end of the transaction, and its place in the index where
 *    there is no row yet (UPDLOCK, HOLDLOCK): nobody else's number can come between.
 * S2 `XACT_ABORT`: any error takes back number and password alike. `ALTER LOGIN` is not among the statements that a
 *    transaction does not allow ("Transact-SQL statements allowed in transactions").
 * S3 SQL Server has no time limit for a statement. Waits for locks are what can take long, so those have one; and a batch
 *    that was late all the same takes itself back.
 */
export function numberedWrite({ login, password, send, limitMs }: LoginWrite): string {
  const name = literal(login);
  const limit = limitText(limitMs);
  return `
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT ${limit};
DECLARE @began datetime2 = SYSUTCDATETIME(), @seen bigint,
  @sid varbinary(85) = (SELECT sid FROM sys.sql_logins WHERE name = ${name});
IF @sid IS NULL ${thrown(ownErrors.absent, 'there is no such SQL login')}
BEGIN TRANSACTION;
SELECT @seen = [send] FROM master.sallyport.sends WITH (UPDLOCK, HOLDLOCK) WHERE login_sid = @sid;
IF @seen >= ${send} ${thrown(ownErrors.fenced, 'the login has seen this send or a higher one')}
IF @seen IS NULL INSERT INTO master.sallyport.sends (login_sid, [send]) VALUES (@sid, ${send});
ELSE UPDATE master.sallyport.sends SET [send] = ${send} WHERE login_sid = @sid;
ALTER LOGIN ${nameText(login)} WITH PASSWORD = ${literal(password)};
IF DATEDIFF(millisecond, @began, SYSUTCDATETIME()) > ${limit} ${thrown(ownErrors.late, 'the write took too long')}
COMMIT TRANSACTION;
${saysWritten(send)}`;
}

/** The login changes itself and names the old password, which the server compares: the fence `compare`. */
export function ownWrite({ login, password, old, send, limitMs }: LoginWrite & { readonly old: string }): string {
  return `
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT ${limitText(limitMs)};
ALTER LOGIN ${nameText(login)} WITH PASSWORD = ${literal(password)} OLD_PASSWORD = ${literal(old)};
${saysWritten(send)}`;
}

/** A transaction that an error left open, if it did. */
export const rollBack = 'IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION;';

/** The number kept for `@login`, as text; no row when none is. */
export const markQuery = `
SELECT CAST([send] AS nvarchar(20)) AS [mark] FROM master.sallyport.sends WHERE login_sid = SUSER_SID(@login)`;
