import type { DeviceId, PersonUid } from '@sallyport/protocol';

/** What the router keeps of a person: nothing of it opens anything without password and account secret. */
export interface Person {
  readonly uid: PersonUid;
  /** As given; unique without regard to case. The sign-in name is not sealed (limit 8 of the claim). */
  readonly name: string;
  /** OPAQUE user identifier, kept through renames; HMAC(name at registration). */
  readonly credentialId: string;
  readonly registrationRecord: string;
  readonly ksf: number;
  readonly blob: string;
  readonly recoveryLookup: string;
  readonly recoveryBlob: string;
}

/** One sign-in of one device. `enrolling`: its device is not in the log yet. Times are Unix milliseconds. */
export interface SignIn {
  /** SHA-256 of the access token, base64url. */
  readonly tokenHash: string;
  readonly person: PersonUid;
  readonly device: DeviceId;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
}

/** One OPAQUE sign-in under way; taken once. `person` is null for unknown names. */
export interface OpaqueAttempt {
  readonly id: string;
  readonly person: PersonUid | null;
  readonly serverState: string;
  readonly expiresAtMs: number;
}

/** Settings, people, sign-ins. Every method is one transaction. */
export interface IdentityStore {
  readSetting(input: { readonly key: string }): Promise<string | null>;
  /** Writes `value` unless the key exists; answers the one that holds now (router identity, OPAQUE set-up). */
  initSetting(input: { readonly key: string; readonly value: string }): Promise<string>;
  writeSetting(input: { readonly key: string; readonly value: string }): Promise<void>;
  /**
   * Burns the setup secret and stores the first person. `secretHash` must equal setting `setup-secret` and nobody may
   * exist: PAM_ROUTER_CLAIMED, PAM_SETUP_CODE_INVALID (also when `setup-expires-at-ms` has passed).
   */
  claimRouter(input: { readonly secretHash: string; readonly person: Person; readonly nowMs: number }): Promise<void>;
  findPersonByName(input: { readonly name: string }): Promise<Person | null>;
  findPerson(input: { readonly uid: PersonUid }): Promise<Person | null>;
  /** The person whose unused recovery code has this lookup. */
  findPersonByRecovery(input: { readonly lookup: string }): Promise<Person | null>;
  /** Spends the recovery code `lookup` (PAM_RECOVERY_FAILED when spent or unknown) and ends all sign-ins. */
  recoverPerson(input: {
    readonly lookup: string;
    readonly registrationRecord: string;
    readonly ksf: number;
    readonly blob: string;
    readonly newLookup: string;
    readonly newBlob: string;
    readonly nowMs: number;
  }): Promise<PersonUid>;
  /** Keeps an attempt; over `capacity` live ones (expired ones do not count): PAM_RATE_LIMITED. */
  addAttempt(input: {
    readonly attempt: OpaqueAttempt;
    readonly capacity: number;
    readonly nowMs: number;
  }): Promise<void>;
  /** Takes it out; `null` when unknown, taken or expired. */
  takeAttempt(input: { readonly id: string; readonly nowMs: number }): Promise<OpaqueAttempt | null>;
  addSignIn(input: { readonly signIn: SignIn }): Promise<void>;
  findSignIn(input: { readonly tokenHash: string; readonly nowMs: number }): Promise<SignIn | null>;
  removeSignIn(input: { readonly tokenHash: string }): Promise<void>;
  /** Removes expired attempts and sign-ins; answers how many. */
  sweepExpired(input: { readonly nowMs: number }): Promise<number>;
}
