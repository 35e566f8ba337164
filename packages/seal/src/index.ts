/**
 * The vault's envelopes, trust log and identities. Web APIs only: the same code runs in Node, in a worker and in a page.
 *
 * This file is the only door of the package.
 *
 * @see docs/protocol-vault.md, docs/adr/0004-trust.md
 */
import {
  type ApplicationUid,
  type DeviceId,
  type GatewayUid,
  type Head,
  type InstanceId,
  type ItemType,
  type ItemUid,
  type KeyPart,
  PamError,
  type Part,
  type PersonUid,
  type Right,
  type SessionId,
  type StreamId,
} from '@sallyport/protocol';

const pending = (name: string): never => {
  throw new PamError('PAM_INTERNAL', `seal: ${name} is not built yet`);
};
type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
export type JsonValue = Json;

// --- keys
export interface PublicJwk {
  readonly kty: 'EC';
  readonly crv: 'P-256';
  readonly x: string;
  readonly y: string;
}
export interface PrivateJwk extends PublicJwk {
  readonly d: string;
}
/** ES256. `id` is the RFC 7638 thumbprint, 43 characters. */
export interface SigningKey {
  readonly use: 'sign';
  readonly id: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: PublicJwk;
}
/** ECDH P-256. */
export interface BoxKey {
  readonly use: 'box';
  readonly id: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: PublicJwk;
}
export async function newSigningKey(): Promise<SigningKey> {
  return pending('newSigningKey');
}
export async function newBoxKey(): Promise<BoxKey> {
  return pending('newBoxKey');
}
export async function exportPrivate(_key: SigningKey | BoxKey): Promise<PrivateJwk> {
  return pending('exportPrivate');
}
/** Every field checked, private half matched against the public half. */
export async function importSigningKey(_jwk: PrivateJwk): Promise<SigningKey> {
  return pending('importSigningKey');
}
export async function importBoxKey(_jwk: PrivateJwk): Promise<BoxKey> {
  return pending('importBoxKey');
}
/** Signing key out of a PKCS#8 PEM text (the router's TLS key signs its heads). */
export async function signingKeyFromPem(_pem: string): Promise<SigningKey> {
  return pending('signingKeyFromPem');
}
export async function thumbprint(_jwk: PublicJwk): Promise<string> {
  return pending('thumbprint');
}
export async function instanceIdOf(_jwk: PublicJwk): Promise<InstanceId> {
  return pending('instanceIdOf');
}
export function newSymmetricKey(): Uint8Array {
  return pending('newSymmetricKey');
}
/** base64url SHA-256 of the canonical JSON (keys sorted, no spaces) of `value`: what event digests cover. */
export async function digestOf(_value: unknown): Promise<string> {
  return pending('digestOf');
}

// --- trust log
export interface LogPerson {
  readonly uid: PersonUid;
  readonly name: string;
  readonly signKey: PublicJwk;
  readonly signKeyId: string;
  readonly boxKey: PublicJwk;
  readonly boxKeyId: string;
  readonly rights: readonly Right[];
}
export interface LogDevice {
  readonly id: DeviceId;
  readonly person: PersonUid;
  readonly key: PublicJwk;
  readonly kind: 'cli';
  readonly label: string;
  /** Unix seconds of the entry that signed it in. */
  readonly since: number;
  readonly removed: boolean;
}
export interface Commitments {
  readonly facts: string;
  readonly secrets: string;
  readonly recordings: string;
}
export interface LogApplication {
  readonly uid: ApplicationUid;
  readonly removed: boolean;
  /** 0 before the first `generation` entry. */
  readonly currentGen: number;
  readonly generations: ReadonlyMap<number, Commitments>;
}
export interface LogGateway {
  readonly uid: GatewayUid;
  readonly app: ApplicationUid;
  readonly signKey: PublicJwk;
  readonly signKeyId: string;
  readonly boxKey: PublicJwk;
  readonly boxKeyId: string;
  readonly removed: boolean;
}
export interface LogState {
  readonly anchor: string;
  /** { n: -1, hash: '' } while empty. */
  readonly head: Head;
  readonly installation: string;
  /** Hash of entry n at index n. */
  readonly hashes: readonly string[];
  readonly persons: ReadonlyMap<string, LogPerson>;
  readonly devices: ReadonlyMap<string, LogDevice>;
  readonly apps: ReadonlyMap<string, LogApplication>;
  readonly gateways: ReadonlyMap<string, LogGateway>;
  readonly routerPins: readonly string[];
  readonly recoveryKey: PublicJwk | null;
  /** False for unknown and removed devices. */
  grants(deviceId: string, right: Right): boolean;
  personOf(deviceId: string): LogPerson | undefined;
}
export interface PersonKeys {
  readonly uid: PersonUid;
  readonly name: string;
  readonly signKey: PublicJwk;
  readonly boxKey: PublicJwk;
}
/** What an entry says; v, n, prev and at are filled by `signEntry`. */
export type LogEntryBody =
  | {
      readonly kind: 'genesis';
      readonly installation: string;
      readonly person: PersonKeys;
      readonly recoveryKey: PublicJwk;
      readonly routerPins: readonly string[];
    }
  | { readonly kind: 'person'; readonly person: PersonKeys; readonly rights: readonly Right[] }
  | {
      readonly kind: 'device';
      readonly person: PersonUid;
      readonly device: {
        readonly id: DeviceId;
        readonly key: PublicJwk;
        readonly kind: 'cli';
        readonly label: string;
      };
    }
  | { readonly kind: 'application'; readonly app: ApplicationUid }
  | {
      readonly kind: 'generation';
      readonly app: ApplicationUid;
      readonly gen: number;
      readonly commitments: Commitments;
    }
  | {
      readonly kind: 'gateway';
      readonly gateway: GatewayUid;
      readonly app: ApplicationUid;
      readonly signKey: PublicJwk;
      readonly boxKey: PublicJwk;
    }
  | { readonly kind: 'gateway-removed'; readonly gateway: GatewayUid }
  | { readonly kind: 'device-removed'; readonly device: DeviceId }
  | { readonly kind: 'app-removed'; readonly app: ApplicationUid }
  | { readonly kind: 'router-pin'; readonly pins: readonly string[] };
/** Log that trusts only `anchor` (hash of the genesis entry, 43 characters). */
export function createLog(_anchor: string): LogState {
  return pending('createLog');
}
/** Signs the entry that follows `state.head`; for genesis pass createLog('') and read the anchor with `entryHash`. */
export async function signEntry(
  _state: LogState,
  _body: LogEntryBody,
  _signer: SigningKey,
  _nowSeconds: number,
): Promise<string> {
  return pending('signEntry');
}
export async function foldLog(_state: LogState, _entries: readonly string[]): Promise<LogState> {
  return pending('foldLog');
}
export async function entryHash(_entry: string): Promise<string> {
  return pending('entryHash');
}
/** Kind, number, time, signer and body of an entry, for showing only: nothing is verified. */
export function peekEntry(_entry: string): {
  readonly n: number;
  readonly prev: string;
  readonly at: number;
  readonly kind: string;
  readonly kid: string;
  readonly body: LogEntryBody;
} {
  return pending('peekEntry');
}
/** Throws PAM_TRUST_SHORTENED or PAM_TRUST_FORKED. */
export function checkFloor(_state: LogState, _floor: Head): void {
  pending('checkFloor');
}
/** Compares a head that another party names: PAM_TRUST_BEHIND when it knows more, PAM_TRUST_FORKED when it differs. */
export function checkHead(_state: LogState, _head: Head): void {
  pending('checkHead');
}

// --- envelopes
export type PlacePart = Part | 'recordings';
export interface Place {
  readonly app: ApplicationUid;
  readonly uid: ItemUid;
  readonly type: ItemType;
  readonly part: PlacePart;
  readonly gen: number;
  readonly rev: number;
}
export interface WantedPlace extends Omit<Place, 'rev'> {
  readonly rev: number | { readonly atLeast: number };
}
export interface OpenedPart {
  readonly body: unknown;
  readonly place: Place;
  /** Device id, or thumbprint of a pool's signing key (state and recordings only). */
  readonly author: string;
  readonly at: number;
}
export interface WrapPlace {
  readonly app: ApplicationUid;
  readonly part: KeyPart;
  readonly gen: number;
}
export async function sealPart(
  _place: Place,
  _body: JsonValue,
  _key: Uint8Array,
  _author: SigningKey,
  _nowSeconds: number,
): Promise<string> {
  return pending('sealPart');
}
export async function openPart(
  _jwe: string,
  _want: WantedPlace,
  _key: Uint8Array,
  _log: LogState,
): Promise<OpenedPart> {
  return pending('openPart');
}
/** The place an envelope claims, unauthenticated: for indexing only. PAM_SEAL_BROKEN when there is none. */
export function peekPlace(_jwe: string): Place {
  return pending('peekPlace');
}
export async function wrapKey(
  _place: WrapPlace,
  _key: Uint8Array,
  _recipient: PublicJwk,
  _granter: SigningKey,
  _nowSeconds: number,
): Promise<string> {
  return pending('wrapKey');
}
export async function unwrapKey(_jwe: string, _want: WrapPlace, _box: BoxKey, _log: LogState): Promise<Uint8Array> {
  return pending('unwrapKey');
}
/** Commitments of a generation's three keys, for the `generation` entry. */
export async function commitKeys(
  _app: ApplicationUid,
  _gen: number,
  _keys: { readonly facts: Uint8Array; readonly secrets: Uint8Array; readonly recordings: Uint8Array },
): Promise<Commitments> {
  return pending('commitKeys');
}
export async function sealToBox(_purpose: string, _value: JsonValue, _recipient: PublicJwk): Promise<string> {
  return pending('sealToBox');
}
export async function openFromBox(_purpose: string, _jwe: string, _box: BoxKey): Promise<unknown> {
  return pending('openFromBox');
}

// --- join configuration, tokens, setup code
export interface JoinConfig {
  readonly v: 1;
  readonly gateway: GatewayUid;
  readonly app: ApplicationUid;
  readonly routers: readonly string[];
  readonly pins: readonly string[];
  readonly anchor: string;
  readonly floor: Head;
  readonly signKey: PrivateJwk;
  readonly boxKey: PrivateJwk;
}
export function encodeJoinConfig(_config: JoinConfig): string {
  return pending('encodeJoinConfig');
}
export async function decodeJoinConfig(_text: string): Promise<JoinConfig> {
  return pending('decodeJoinConfig');
}
export function toKubernetesSecret(_config: JoinConfig, _name: string): string {
  return pending('toKubernetesSecret');
}
export interface NewToken {
  /** 43 characters; shown to the user as HOST[:PORT]:TOKEN. */
  readonly token: string;
  readonly lookup: string;
  seal(config: JoinConfig): Promise<string>;
}
export async function newToken(): Promise<NewToken> {
  return pending('newToken');
}
export function formatToken(_host: string, _port: number, _token: string): string {
  return pending('formatToken');
}
export function parseToken(_text: string): { readonly host: string; readonly port: number; readonly token: string } {
  return pending('parseToken');
}
export async function tokenLookup(_token: string): Promise<string> {
  return pending('tokenLookup');
}
export async function openTokenBlob(_token: string, _jwe: string): Promise<JoinConfig> {
  return pending('openTokenBlob');
}
export async function newSetupCode(
  _pin: string,
): Promise<{ readonly code: string; readonly secret: string; readonly secretHash: string }> {
  return pending('newSetupCode');
}
export async function parseSetupCode(_code: string): Promise<{ readonly secret: string; readonly pin: string }> {
  return pending('parseSetupCode');
}
export async function hashSetupSecret(_secret: string): Promise<string> {
  return pending('hashSetupSecret');
}

// --- identities
export interface TlsIdentity {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}
export interface InstanceIdentity extends TlsIdentity {
  readonly key: SigningKey;
  readonly id: InstanceId;
}
/** Certificate of one instance: 24 h, backdated 5 min. `key` absent: a fresh one (a state folder passes its own). */
export async function newInstanceIdentity(
  _pool: SigningKey,
  _gateway: GatewayUid,
  _nowMs: number,
  _key?: SigningKey,
): Promise<InstanceIdentity> {
  return pending('newInstanceIdentity');
}
/** Client side of a session's TLS, 13 h; `thumbprint` = base64url SHA-256 of the SPKI = `cnf` of its requests. */
export async function newSessionIdentity(_nowMs: number): Promise<TlsIdentity & { readonly thumbprint: string }> {
  return pending('newSessionIdentity');
}
export async function checkInstanceCertificate(_what: {
  readonly der: Uint8Array | string;
  readonly gateway: GatewayUid;
  readonly poolPublicJwk: PublicJwk;
  readonly nowMs: number;
}): Promise<{ readonly instance: InstanceId; readonly publicJwk: PublicJwk }> {
  return pending('checkInstanceCertificate');
}
/** What the instance asks of the client's certificate: the key named by `cnf`, in time, no CA. PAM_REQUEST_INVALID. */
export async function checkSessionCertificate(_what: {
  readonly der: Uint8Array | string;
  readonly cnf: string;
  readonly nowMs: number;
}): Promise<void> {
  return pending('checkSessionCertificate');
}
export async function newRouterIdentity(
  _names: readonly string[],
  _nowMs: number,
): Promise<TlsIdentity & { readonly pin: string; readonly key: SigningKey }> {
  return pending('newRouterIdentity');
}
/** base64url SHA-256 of the SPKI of a certificate (DER or PEM). */
export async function pinOf(_certificate: Uint8Array | string): Promise<string> {
  return pending('pinOf');
}
export async function pinOfKey(_jwk: PublicJwk): Promise<string> {
  return pending('pinOfKey');
}
export interface HelloClaims {
  readonly nonce: string;
  readonly gateway: GatewayUid;
  readonly instance: InstanceId;
  readonly routerPin: string;
}
/** The instance's answer to the router's challenge, typ sallyport-hello+jws. */
export async function signHello(_claims: HelloClaims, _key: SigningKey): Promise<string> {
  return pending('signHello');
}
/** Router: certificate under the pool key in the log, then the proof by that certificate's key. PAM_INSTANCE_REFUSED. */
export async function verifyHello(
  _jws: string,
  _want: {
    readonly certificate: string;
    readonly gateway: GatewayUid;
    readonly poolPublicJwk: PublicJwk;
    readonly nonce: string;
    readonly routerPin: string;
    readonly nowMs: number;
  },
): Promise<{ readonly instance: InstanceId; readonly publicJwk: PublicJwk }> {
  return pending('verifyHello');
}

// --- signed requests
export interface SessionRequest {
  readonly iss: DeviceId;
  readonly aud: `gateway:${string}`;
  readonly jti: string;
  readonly iat: number;
  readonly exp: number;
  readonly until: number;
  readonly session: SessionId;
  readonly stream: StreamId;
  readonly resource: ItemUid;
  readonly revs: Readonly<Record<string, number>>;
  readonly workload: 'tunnel';
  readonly head: Head;
  readonly cnf: string;
  readonly sealed?: string;
}
export const requestLifeSeconds = 60;
export const requestUntilSeconds = 43_200;
export async function signRequest(_claims: SessionRequest, _device: SigningKey): Promise<string> {
  return pending('signRequest');
}
export async function verifyRequest(
  _jwt: string,
  _want: { readonly gateway: GatewayUid; readonly log: LogState; readonly nowSeconds: number },
): Promise<SessionRequest> {
  return pending('verifyRequest');
}
export async function requestHash(_jwt: string): Promise<string> {
  return pending('requestHash');
}

// --- person
export interface PersonBlob {
  readonly v: 1;
  readonly personUid: PersonUid;
  readonly name: string;
  readonly signKey: PrivateJwk;
  readonly boxKey: PrivateJwk;
  readonly anchor: string;
  readonly floor: Head;
}
/** Version of the key-stretching parameters fixed in the client: 1 = Argon2id 64 MiB, t = 3. */
export const ksfVersion = 1;
export async function startRegistration(
  _password: string,
): Promise<{ readonly registrationRequest: string; readonly clientState: string }> {
  return pending('startRegistration');
}
export async function finishRegistration(_input: {
  readonly password: string;
  readonly clientState: string;
  readonly registrationResponse: string;
}): Promise<{ readonly registrationRecord: string; readonly exportKey: string }> {
  return pending('finishRegistration');
}
export async function startSignIn(
  _password: string,
): Promise<{ readonly startLoginRequest: string; readonly clientState: string }> {
  return pending('startSignIn');
}
/** PAM_SIGN_IN_FAILED when the password is wrong or nobody has this name. */
export async function finishSignIn(_input: {
  readonly password: string;
  readonly clientState: string;
  readonly loginResponse: string;
}): Promise<{ readonly finishLoginRequest: string; readonly exportKey: string; readonly sessionKey: string }> {
  return pending('finishSignIn');
}
export async function newAccountSecret(): Promise<string> {
  return pending('newAccountSecret');
}
export async function newRecoveryCode(): Promise<string> {
  return pending('newRecoveryCode');
}
/** Canonical text; throws PAM_ACCOUNT_SECRET_WRONG (detail.why 'mistyped') when a character is wrong or missing. */
export async function parseAccountSecret(_text: string): Promise<string> {
  return pending('parseAccountSecret');
}
export async function parseRecoveryCode(_text: string): Promise<string> {
  return pending('parseRecoveryCode');
}
export async function sealPersonBlob(_blob: PersonBlob, _exportKey: string, _accountSecret: string): Promise<string> {
  return pending('sealPersonBlob');
}
export async function openPersonBlob(_jwe: string, _exportKey: string, _accountSecret: string): Promise<PersonBlob> {
  return pending('openPersonBlob');
}
export async function recoveryLookup(_code: string): Promise<string> {
  return pending('recoveryLookup');
}
export async function sealRecoveryBlob(_blob: PersonBlob, _code: string): Promise<string> {
  return pending('sealRecoveryBlob');
}
export async function openRecoveryBlob(_jwe: string, _code: string): Promise<PersonBlob> {
  return pending('openRecoveryBlob');
}
/** `digest` = digestOf(the rest of the body). */
export async function signRecoveryProof(
  _claims: { readonly lookup: string; readonly digest: string },
  _person: SigningKey,
): Promise<string> {
  return pending('signRecoveryProof');
}
export async function verifyRecoveryProof(
  _jws: string,
  _personSignKey: PublicJwk,
  _want: { readonly lookup: string; readonly digest: string },
): Promise<void> {
  return pending('verifyRecoveryProof');
}
/** Seals what rests in a profile (person keys while a sign-in lasts) under a 32-byte secret of the device. */
export async function sealAtRest(_purpose: string, _value: JsonValue, _secret: Uint8Array): Promise<string> {
  return pending('sealAtRest');
}
export async function openAtRest(_purpose: string, _jwe: string, _secret: Uint8Array): Promise<unknown> {
  return pending('openAtRest');
}

// --- DPoP
export async function signProof(
  _what: {
    readonly method: string;
    readonly url: string;
    readonly nowSeconds: number;
    readonly accessToken?: string;
    readonly jti?: string;
  },
  _device: SigningKey,
): Promise<string> {
  return pending('signProof');
}
/** `url` absolute, or a path beginning with '/' when the router does not know the name it was called by. */
export async function verifyProof(
  _jwt: string,
  _want: {
    readonly method: string;
    readonly url: string;
    readonly nowSeconds: number;
    readonly accessToken?: string;
  },
): Promise<{ readonly jkt: DeviceId; readonly jti: string; readonly iat: number; readonly publicJwk: PublicJwk }> {
  return pending('verifyProof');
}

// --- events
export interface ActorEvent {
  readonly actor: string;
  readonly seq: number;
  readonly prev: string;
  readonly at: number;
  readonly act: string;
  readonly on: readonly string[];
  readonly digest: string;
}
export async function signEvent(_event: ActorEvent, _key: SigningKey): Promise<string> {
  return pending('signEvent');
}
export async function verifyEvent(_jws: string, _publicJwk: PublicJwk): Promise<ActorEvent> {
  return pending('verifyEvent');
}
export async function eventHash(_jws: string): Promise<string> {
  return pending('eventHash');
}
export interface RouterHead {
  readonly router: string;
  readonly start: number;
  readonly seq: number;
  readonly hash: string;
  readonly at: number;
}
export async function signHead(_head: RouterHead, _routerKey: SigningKey): Promise<string> {
  return pending('signHead');
}
/** `trusted`: the router's public key, or the pins that the trust log names. */
export async function verifyHead(_jws: string, _trusted: PublicJwk | readonly string[]): Promise<RouterHead> {
  return pending('verifyHead');
}
