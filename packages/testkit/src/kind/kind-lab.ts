import type { Credential, KindAccount, KindTarget, TargetKind } from '@sallyport/rotation';

/** An account and what opens it. */
export interface KindLogin {
  readonly account: KindAccount;
  readonly credential: Credential;
}

/** A write that waits at the target until it is let go: the late write of finding F1. */
export interface HeldWrite {
  /** The target as the holder is to see it; others use the ordinary one. */
  readonly target: KindTarget;
  /** Resolves when a write waits at the target. */
  waiting(): Promise<void>;
  /** Lets it go. */
  release(): Promise<void>;
  /** False: later writes to this account wait behind it too, so its holder is lost before it is let go. */
  readonly passes: boolean;
}

/**
 * What a real server can be made to do. A kind's lab has the method of each ability, or says in `absent` why not:
 * nothing is left out silently.
 *
 * `limit` has no method: absent where the target cannot be made to give up a held write by itself.
 */
export type KindAbility =
  | 'server'
  | 'attempts'
  | 'lock'
  | 'expire'
  | 'weak'
  | 'powerless'
  | 'missing'
  | 'readOnly'
  | 'hold'
  | 'limit'
  | 'log'
  | 'hostileLogins';

/** A real server of this kind, started for the test. */
export interface KindServer {
  readonly target: KindTarget;
  /** A credential that may change other accounts; null for kinds without. */
  readonly admin: KindLogin | null;
  /** Makes an account that opens; with this login name, or a fresh one. */
  makeAccount(login?: string): Promise<KindLogin>;
  /** A fresh credential that the target takes. */
  nextCredential(): Credential;
  /** Logins tried with this account so far, as the server counted them: good and bad ones. */
  attempts?(account: KindAccount): Promise<number>;
  /** Locks the account, so that its own credential does not open it. */
  lock?(account: KindAccount): Promise<void>;
  /** Lets the account's credential, or the account, expire. */
  expire?(account: KindAccount): Promise<void>;
  /** A credential that the policy of the target refuses. */
  weak?(): Promise<Credential>;
  /** An administrative credential that opens and may change nobody. */
  powerless?(): Promise<KindLogin>;
  /** An account that does not exist. */
  missing?(): Promise<KindAccount>;
  /** Makes the server read-only; the answer undoes it. */
  readOnly?(): Promise<() => Promise<void>>;
  /** Makes the next write to the account wait, which its administrator or the account itself will make. */
  hold?(account: KindAccount, by: 'admin' | 'own'): Promise<HeldWrite>;
  /** Everything the server has logged, with its most talkative settings. */
  log?(): Promise<string>;
  /** Names that mean something to a shell, to SQL, to a format or to nobody; each can be an account here. */
  hostileLogins?(): readonly string[];
}

/** What the compliance suite is given about one kind. */
export interface KindLab {
  readonly kind: TargetKind;
  /** Why it cannot do something, by ability. */
  readonly absent: Readonly<Partial<Record<KindAbility, string>>>;
  /** A target to name where no server is needed. */
  readonly target: KindTarget;
  /** An account to name where no server is needed, and something that could open it. */
  readonly login: KindLogin;
  /** First bytes of a server that lies in this kind's protocol; each is followed by silence. */
  readonly lies: Readonly<Record<string, Uint8Array>>;
  /** The server; started once by the test, asked for by each case. */
  server(): KindServer;
}

/** One guarantee of the contract. `absent`: why this kind cannot show it; the case is then not run. */
export interface KindCase {
  readonly name: string;
  readonly absent: string | null;
  run(): Promise<void>;
}
