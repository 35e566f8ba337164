/**
 * The vault's envelopes, trust log and identities. Web APIs only: the same code runs in Node, in a worker and in a page.
 *
 * @see docs/protocol-vault.md (formats and test vectors), docs/adr/0004-trust.md (why), docs/threat-model.md
 */
export type { VerifiedProof } from './dpop/proof.ts';
export { proofWindowSeconds, signProof, verifyProof } from './dpop/proof.ts';
export { openFromBox, sealToBox } from './envelope/box.ts';
export type { CandidateProof } from './envelope/candidate-proof.ts';
export { noteMaxBytes, openNote, sealNote } from './envelope/note.ts';
export type { JsonValue, OpenedPart } from './envelope/part.ts';
export { bodyMaxBytes, openPart, sealCandidate, sealPart } from './envelope/part.ts';
export type { Place, PlacePart, WantedPlace } from './envelope/place.ts';
export { peekPlace } from './envelope/place.ts';
export type { WrapPlace } from './envelope/wrap.ts';
export { commitKeys, unwrapKey, wrapKey } from './envelope/wrap.ts';
export type { ActorEvent } from './event/actor-event.ts';
export { eventHash, signEvent, verifyEvent } from './event/actor-event.ts';
export { digestOf } from './event/digest.ts';
export type { RouterHead } from './event/router-head.ts';
export { signHead, verifyHead } from './event/router-head.ts';
export type { HelloClaims } from './identity/hello.ts';
export { signHello, verifyHello } from './identity/hello.ts';
export type { CertificateQuestion, InstanceIdentity } from './identity/instance-identity.ts';
export { checkInstanceCertificate, newInstanceIdentity } from './identity/instance-identity.ts';
export type { TlsIdentity } from './identity/make-certificate.ts';
export { pinOf } from './identity/read-certificate.ts';
export type { RouterIdentity } from './identity/router-identity.ts';
export { newRouterIdentity, pinOfKey } from './identity/router-identity.ts';
export type { SessionIdentity } from './identity/session-identity.ts';
export { checkSessionCertificate, newSessionIdentity } from './identity/session-identity.ts';
export type { JoinConfig } from './join/config.ts';
export { decodeJoinConfig, encodeJoinConfig, toKubernetesSecret } from './join/config.ts';
export type { SetupCode } from './join/setup-code.ts';
export { hashSetupSecret, newSetupCode, parseSetupCode } from './join/setup-code.ts';
export type { HostPort } from './join/text.ts';
export { defaultPort, formatHost, parseHostPort } from './join/text.ts';
export type { NewToken, ParsedToken } from './join/token.ts';
export { formatToken, newToken, openTokenBlob, parseToken, tokenLookup } from './join/token.ts';
export type { BoxKey, PrivateJwk, PublicJwk, SigningKey } from './keys/ec-key.ts';
export {
  exportPrivate,
  importBoxKey,
  importSigningKey,
  instanceIdOf,
  newBoxKey,
  newSigningKey,
  signingKeyFromPem,
  thumbprint,
} from './keys/ec-key.ts';
export { newSymmetricKey } from './keys/symmetric.ts';
export type { Commitments, LogEntry, LogEntryBody, PeekedEntry, PersonKeys } from './log/entry.ts';
export { entryHash, peekEntry } from './log/entry.ts';
export { foldLog, signEntry } from './log/fold-log.ts';
export { giveBackEntries, mayGiveBack, nextEntries } from './log/give-back.ts';
export type { LogApplication, LogDevice, LogGateway, LogPerson, LogState } from './log/state.ts';
export { checkFloor, checkHead, createLog } from './log/state.ts';
export { openAtRest, sealAtRest } from './person/at-rest.ts';
export {
  finishRegistration,
  finishSignIn,
  ksfVersion,
  startRegistration,
  startSignIn,
} from './person/opaque-client.ts';
export { newAccountSecret, newRecoveryCode, parseAccountSecret, parseRecoveryCode } from './person/paper-secrets.ts';
export type { PersonBlob } from './person/person-blob.ts';
export {
  openPersonBlob,
  openRecoveryBlob,
  recoveryLookup,
  sealPersonBlob,
  sealRecoveryBlob,
} from './person/person-blob.ts';
export type { RecoveryProof } from './person/recovery-proof.ts';
export { signRecoveryProof, verifyRecoveryProof } from './person/recovery-proof.ts';
export type { Order } from './request/order.ts';
export {
  orderLifeSeconds,
  orderToleranceSeconds,
  peekOrder,
  signOrder,
  verifyOrder,
  verifyPastOrder,
} from './request/order.ts';
export { signScript, verifyScript } from './request/script-signature.ts';
export { signService, verifyService } from './request/service-signature.ts';
export type { StandingOrder } from './request/standing-order.ts';
export { peekStandingOrder, signStandingOrder, verifyStandingOrder } from './request/standing-order.ts';
export type { SessionRequest } from './request/session-request.ts';
export {
  peekRequest,
  requestHash,
  requestLifeSeconds,
  requestToleranceSeconds,
  requestUntilSeconds,
  signRequest,
  verifyRequest,
} from './request/session-request.ts';
