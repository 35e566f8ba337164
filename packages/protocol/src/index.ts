export type { AlertKind, AlertMessage } from './alert/message.ts';
export {
  alertDetailSchema,
  alertKindSchema,
  alertKinds,
  alertMessageSchema,
  alertSeverities,
} from './alert/message.ts';
export type { AuditEvent } from './api/audit.ts';
export { actorHead, auditEventSchema, readAudit } from './api/audit.ts';
export {
  beginRecovery,
  beginSetup,
  beginSignIn,
  finishRecovery,
  finishSetup,
  finishSignIn,
  getInfo,
  signedInSchema,
  signInNameSchema,
  signOut,
  whoAmI,
} from './api/identity.ts';
export type { AccountVersion, AfterCounts, FollowUp, RotationTrouble, JobView, JobWhy } from './api/job.ts';
export {
  accountVersionSchema,
  afterCountsSchema,
  cancelJob,
  followUpSchema,
  followUpsKept,
  rotationTroubleSchema,
  getJob,
  jobEntrySchema,
  jobKindSchema,
  jobNoteSchema,
  jobStateSchema,
  jobStepSchema,
  jobViewSchema,
  jobWhySchema,
  kindDescriptionSchema,
  listJobs,
  listKinds,
  readRotation,
  resolveRotation,
  sendOutcomeSchema,
  ordersInCall,
  startJobs,
} from './api/job.ts';
export { killSession, setInstanceIntent } from './api/leaving.ts';
export type { AuditChainEnd } from './api/restore.ts';
export {
  acceptOlder,
  giveBackEvents,
  giveBackLimits,
  giveBackLog,
  mostAuditEnds,
  mostLostRevisions,
  readRestore,
  reopenLog,
} from './api/restore.ts';
export type { Right, Route } from './api/route.ts';
export { defineRoute, rights } from './api/route.ts';
export type { Candidate, Decision, EndReason, SessionView, StreamOptions, StreamView } from './api/session.ts';
export {
  candidateSchema,
  decisionSchema,
  endReasonSchema,
  endSession,
  explainSession,
  listSessions,
  nextTurn,
  replayDecision,
  resumeStream,
  routeStream,
  sessionViewSchema,
  startSession,
  streamOptionsPurpose,
  streamOptionsSchema,
  streamViewSchema,
  touchSession,
  workloadSchema,
} from './api/session.ts';
export type { Head } from './api/shapes.ts';
export { drainBySchema, drainLimits, hashSchema, headSchema, jwsSchema } from './api/shapes.ts';
export type { GatewayView, InstanceView, KeyWrap, WriteItem } from './api/vault.ts';
export {
  acknowledgeToken,
  appendLog,
  createApplication,
  createGateway,
  gatewayViewSchema,
  getItem,
  instanceViewSchema,
  itemHistory,
  itemsInCall,
  keyWrapSchema,
  listApplications,
  listGateways,
  listItems,
  readLog,
  redeemToken,
  removeApplication,
  rekeyGateway,
  removeGateway,
  removeItem,
  setMaxInstances,
  writeItem,
  writeItemSchema,
} from './api/vault.ts';
export type { ErrorCode, ErrorSpec } from './errors/catalog.ts';
export { errorCatalog, isErrorCode } from './errors/catalog.ts';
export type { ErrorDetail, WireError } from './errors/pam-error.ts';
export { PamError, toWireError } from './errors/pam-error.ts';
export { isRouterAway } from './errors/router-away.ts';
export type {
  ApplicationUid,
  DeviceId,
  GatewayUid,
  InstanceId,
  ItemUid,
  JobId,
  PersonUid,
  SessionId,
  StreamId,
} from './ids.ts';
export {
  applicationUidSchema,
  deviceIdSchema,
  gatewayUidSchema,
  instanceIdSchema,
  itemUidSchema,
  jobIdSchema,
  newUid,
  personUidSchema,
  sessionIdSchema,
  streamIdSchema,
  toBase64url,
} from './ids.ts';
export type { LegRole, LegStatus, Preamble } from './leg.ts';
export {
  decodePreamble,
  encodePreamble,
  legCarrier,
  legLimits,
  legMagic,
  legRole,
  legStatus,
  legVersion,
  preambleBytes,
  ticketBytes,
} from './leg.ts';
export type { HostView, LinkMethod, MembershipView } from './link/messages.ts';
export {
  dispatchResult,
  helloResult,
  hostSchema,
  linkLimits,
  linkMethods,
  membershipSchema,
  protocolRange,
  refusalClassSchema,
  streamEventSchema,
} from './link/messages.ts';
export { wireErrorSchema } from './errors/wire-error.ts';
export type { JobHandlers, LinkHandlers, LinkParams, LinkResult, LinkSide, Peer, PeerDeps } from './link/peer.ts';
export { createPeer } from './link/peer.ts';
export type { Counter, Gauge, Histogram, Metrics } from './metrics/metrics.ts';
export { createMetrics, metricsContentType } from './metrics/metrics.ts';
export type {
  ApplicationFacts,
  GatewayFacts,
  NetworkConfigurationFacts,
  ResourceFacts,
  UserFacts,
  UserSecrets,
} from './record/bodies.ts';
export {
  applicationFactsSchema,
  credentialLinkSchema,
  factsSchemas,
  gatewayFactsSchema,
  networkConfigurationFactsSchema,
  resourceTypes,
  serverIdentitySchema,
  usableOnSchema,
  userFactsSchema,
  userSecretsSchema,
} from './record/bodies.ts';
export type {
  Item,
  ItemType,
  KeyPart,
  Mirror,
  Part,
  PartEnvelope,
  PermissionName,
  RecordType,
  Switch,
} from './record/item.ts';
export {
  configurationTypes,
  envelopeSchema,
  generationSchema,
  itemSchema,
  itemTypeSchema,
  itemTypes,
  keyPartSchema,
  mirrorSchema,
  partEnvelopeSchema,
  partSchema,
  permissionNames,
  recordTypeSchema,
  recordTypes,
  revisionSchema,
  switchSchema,
} from './record/item.ts';
export type { Notice, Open, Opened, Ready, Refused, RefusedClass } from './stream/bodies.ts';
export {
  noticeBodySchema,
  openBodySchema,
  openedBodySchema,
  readyBodySchema,
  refusedBodySchema,
  refusedClassSchema,
  streamWindow,
} from './stream/bodies.ts';
export { productVersion } from './version.ts';
export type { Complexity, Escape, RotationSettings, Schedule, Script, Service } from './record/rotation.ts';
export {
  complexitySchema,
  defaultComplexity,
  escapeSchema,
  rotationSettingsSchema,
  scheduleMirrorSchema,
  scheduleSchema,
  scriptSchema,
  serviceSchema,
} from './record/rotation.ts';
export { serverName } from './record/server-name.ts';
export { isUsableOn } from './record/usable-on.ts';
