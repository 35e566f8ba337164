import type { UserSecrets } from '@sallyport/protocol';

/** Fields of a record as `pam record import` reads them. */
type RecordFields = Readonly<Record<string, unknown>>;

/** A real server with accounts that are rotated, as records describe it. */
export interface AccountLab {
  readonly kind: string;
  /** Where it listens; an address of loopback. */
  readonly host: string;
  readonly port: number;
  /** The record of the server; its administrative credential has the title `admin`. */
  readonly resource: RecordFields;
  /** Fields and secrets of the administrative credential. */
  readonly admin: { readonly fields: RecordFields; readonly secrets: Partial<UserSecrets> };
  /** Makes an account that opens with these secrets; fields of its record. */
  makeAccount(login: string): Promise<{ readonly fields: RecordFields; readonly secrets: Partial<UserSecrets> }>;
  /** One real login, not through anything of ours. */
  opens(login: string, secrets: Partial<UserSecrets>): Promise<boolean>;
  /** False where the server cannot be killed and started again from outside: it has a machine of its own. */
  readonly restarts: boolean;
  /** What it was started with, of servers that show another command line. */
  readonly args?: readonly string[];
  /** Further flags of `pam rotation edit`. */
  readonly rotation?: readonly string[];
  /** Of kinds that put credentials beside each other. */
  readonly beside?: {
    /** Everything that opens the account at the server now. */
    at(login: string): Promise<readonly string[]>;
    /** The same text, made of secrets. */
    formOf(secrets: Partial<UserSecrets>): string;
  };
}
