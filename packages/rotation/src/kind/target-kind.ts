import type { Duplex } from 'node:stream';
import type { Credential } from '../secret/secret.ts';

/**
 * How a target keeps a late write from undoing a later one (architecture section 7, finding F1).
 *
 * `number`: the send number is kept beside the password in the same transaction, and only a higher one is taken.
 * `compare`: the change names the old password, so it fails once the password moved.
 * `additive`: the old credential stays until it is removed; a late write leaves an extra one, which `retire` removes.
 * `evict`: every other session under our label is ended and seen gone before each permit.
 * `none`: nothing does; the account is checked again after 1 min, 15 min and 24 h.
 */
export const fences = ['number', 'compare', 'additive', 'evict', 'none'] as const;
export type Fence = (typeof fences)[number];

/** What an operator is told of a kind by `pam rotation targets`. */
export interface KindDescription {
  /** As in `postgresql`; lower case, digits and hyphens, at most 40 characters. */
  readonly name: string;
  readonly title: string;
  /** Fence with an administrative credential, and when the account changes itself; null: it cannot. */
  readonly fence: { readonly admin: Fence | null; readonly own: Fence | null };
  readonly changes: 'password' | 'ssh-key';
  /** Against what it was tried: a real server and its version, or `null` with the reason in `untried`. */
  readonly triedAgainst: string | null;
  readonly untried: string | null;
  /** What can never be recovered when the account changes itself and no administrative credential is there. */
  readonly ownCaveat: string;
}

/** The endpoint, from sealed facts that were checked. `identity`: pin of its key, or null for `first-seen`. */
export interface KindTarget {
  readonly host: string;
  readonly port: number;
  readonly identity: string | null;
  readonly useTls: boolean;
  /** `pamMachine`, `pamDatabase`, `pamDirectory`. */
  readonly recordType: string;
  readonly databaseType: string | null;
  readonly directoryType: string | null;
  readonly domain: string | null;
  /** Replicas or further domain controllers that are asked until they agree. */
  readonly replicas: readonly { readonly host: string; readonly port: number }[];
  readonly custom: Readonly<Record<string, string>>;
}

/** An account of a target. `login` names MySQL's host part behind its last `@`, and `%` when there is none. */
export interface KindAccount {
  readonly login: string;
  readonly distinguishedName: string | null;
  readonly database: string | null;
  readonly custom: Readonly<Record<string, string>>;
}

/** What a kind may do to the world: dial where the policy allows, and wait. No file, no process, no other socket. */
export interface KindIo {
  /** Dials through the instance's address policy. @throws PamError PAM_TARGET_*. */
  dial(host: string, port: number, signal: AbortSignal): Promise<Duplex>;
  nowMs(): number;
  schedule(ms: number, fn: () => void): () => void;
  /**
   * The target's key or certificate as it was met: pinned identities are compared here, first-seen ones are kept.
   * @throws PamError PAM_TARGET_IDENTITY when it is another one.
   */
  identify(seen: ServerIdentity): void;
}

/** `value` is `sha256:` and base64url of the SPKI (TLS) or of the host key blob (SSH). */
export interface ServerIdentity {
  readonly kind: 'tls' | 'ssh';
  readonly value: string;
  /** Whose it is, where not the target's own: a replica has a key of its own. */
  readonly at?: { readonly host: string; readonly port: number };
}

/**
 * A login that did not open. Only `refused` says that the credential is wrong; the rest is no answer. `unreachable` says that
 * the server was not shown the credential, nor any answer made of it, so that it cannot count there (R6): where that is
 * not sure, it is `unknown`.
 */
export interface NotOpened {
  readonly kind: 'refused' | 'locked' | 'expired' | 'unreachable' | 'unknown';
  /** For the operator; no secret, at most 256 characters. */
  readonly message: string;
}
export type ProbeOutcome = { readonly kind: 'opens'; readonly address: string } | NotOpened;
export type ConnectOutcome = { readonly kind: 'connected'; readonly session: KindSession } | NotOpened;

export type ApplyOutcome =
  | { readonly kind: 'applied' }
  /** The target's policy refuses this secret: another one may be taken. Nothing was changed. */
  | { readonly kind: 'policy'; readonly message: string }
  /** Nothing was changed and another secret would not help: no permission, no such account, read-only server. */
  | { readonly kind: 'denied'; readonly message: string }
  /** The target has seen a higher number, or another old password: nothing was changed by this write. */
  | { readonly kind: 'fenced'; readonly message: string }
  /** Nobody knows: connection lost, time over, or an error that does not say. The write may still land. */
  | { readonly kind: 'unknown'; readonly message: string };

export type RetireOutcome =
  /** Nothing older of ours opens the account any more; `removed`: how much this took away. */
  | { readonly kind: 'retired'; readonly removed: number }
  /** What is older may still be there, and asking again is no use before somebody changes something at the target. */
  | { readonly kind: 'denied'; readonly message: string };

/** One thing that a dry run looked at. */
export interface Precondition {
  readonly what: string;
  readonly holds: boolean;
  /** What to do when it does not hold. */
  readonly remedy: string;
}

export interface SecretLimits {
  readonly maxLength: number;
  readonly minLength: number;
  /** Characters the target, its client or its configuration files cannot take; for passwords. */
  readonly forbidden: string;
  /** No more than this is looked at by the target (bcrypt: 72 bytes); null: all of it. */
  readonly significant: number | null;
}

export interface WriteOrder {
  readonly account: KindAccount;
  readonly send: number;
  readonly next: Credential;
  /** What opens the account now, as far as known: `compare` fences name it. */
  readonly old: Credential | null;
  /** The target itself must give up after this, ms (A: at most 10 s). */
  readonly limitMs: number;
}

/** A connection that is logged in. Its write goes out on this very connection or never. */
export interface KindSession {
  /** The address that was dialled. */
  readonly address: string;
  /** Highest send number that the target shows for the account; 0 without one, or without the fence `number`. */
  mark(account: KindAccount): Promise<number>;
  /**
   * What this very login can hold for the account, where its permissions decide; absent: as the kind's description says,
   * which is then the least. A run goes by the least; only whether the account is looked at again goes by this. Asked after
   * `mark`, at every login.
   */
  fence?(account: KindAccount): Promise<Fence>;
  /** Permission and policy, without any change. */
  check(account: KindAccount): Promise<readonly Precondition[]>;
  /**
   * Ends every other session under our label at this account's server and sees them gone, within 10 s; answers whether
   * they are. Absent where the fence is not `evict`.
   */
  evict?(account: KindAccount): Promise<boolean>;
  /** Writes once. Never throws for what the target said. */
  apply(order: WriteOrder, signal: AbortSignal): Promise<ApplyOutcome>;
  /**
   * Removes what earlier rotations left beside `keep` (fence `additive`). Only what was
   * written under a lower number than `keep`: a retirement that comes late must not take what a later run has set.
   * @throws PAM_TARGET_* when nobody knows what was done: it is tried again (R10).
   */
  retire?(account: KindAccount, keep: Credential, signal: AbortSignal): Promise<RetireOutcome>;
  /** Does this replica show the change by its metadata? Never logs in with the account. */
  agrees?(
    replica: { readonly host: string; readonly port: number },
    account: KindAccount,
    signal: AbortSignal,
  ): Promise<boolean>;
  /**
   * The same login on the same connection for another account, which this one then must not be used for any more; null: the
   * connection is lost. Asked of an administrator's session only, after its write was applied. Absent: each job logs in anew.
   */
  again?(io: KindIo): KindSession | null;
  close(): Promise<void>;
}

/**
 * One sort of account on one sort of server: a folder with this contract, in the tree or in a package loaded by name
 * (`pam-gateway start --plugin NAME`, default export). The compliance suite of the testkit holds every one of them to it.
 */
export interface TargetKind {
  readonly description: KindDescription;
  /** Is this kind the one for this record? The first that says yes is taken; plug-ins are asked first. */
  serves(target: KindTarget, account: KindAccount): boolean;
  limits(target: KindTarget): SecretLimits;
  /** Logs in with the administrative credential, or as the account itself. */
  connect(
    target: KindTarget,
    login: { readonly account: KindAccount; readonly credential: Credential },
    io: KindIo,
    signal: AbortSignal,
  ): Promise<ConnectOutcome>;
  /** One fresh login from a new connection, then logs out. Exactly one attempt: the target may count them. */
  probe(
    target: KindTarget,
    login: { readonly account: KindAccount; readonly credential: Credential },
    io: KindIo,
    signal: AbortSignal,
  ): Promise<ProbeOutcome>;
  /** What tells two accounts of one server apart, in canonical form: two names of one account give one text. */
  accountName(account: KindAccount): string;
}
