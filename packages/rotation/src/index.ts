export type { AccountRow, JobKind, JobRow, JobState, JobStep, LoginRow, SendRow, VersionRow } from './account/rows.ts';
export { claimsWithoutProgress, jobSteps, policyRefusals, probeBudget } from './account/rows.ts';
export type {
  ApplyOutcome,
  ConnectOutcome,
  Fence,
  KindAccount,
  KindDescription,
  KindIo,
  KindSession,
  KindTarget,
  NotOpened,
  Precondition,
  ProbeOutcome,
  RetireOutcome,
  SecretLimits,
  ServerIdentity,
  TargetKind,
  WriteOrder,
} from './kind/target-kind.ts';
export { fences } from './kind/target-kind.ts';
export type { ClaimView, LoginAnswer, RunEffect, RunEvent, RunSettings } from './run/effects.ts';
export type { Credential } from './secret/secret.ts';
export { Secret } from './secret/secret.ts';
export {
  type AccountRows,
  type Decision,
  type Holder,
  fencedOff,
  isOpen,
  openStates,
  type RefusalCode,
} from './account/account-rows.ts';
export { type ClaimRequest, decideClaim } from './account/decide-claim.ts';
export { type CancelRows, decideCancel, decideFinish, decidePromote, decideWait } from './account/decide-end.ts';
export { decideLogin, type LoginRows, staysTaken } from './account/decide-login.ts';
export { decidePermit } from './account/decide-permit.ts';
export { decideRecover, decideSeen } from './account/decide-recover.ts';
export { decideReport, type Report } from './account/decide-report.ts';
export { decideResolve, type ResolveRows } from './account/decide-resolve.ts';
export { retireWaitMs } from './account/retire-wait.ts';
export { decideStage } from './account/decide-stage.ts';
export { jitterMs, latestOccurrence, nextOccurrence, nextOccurrences } from './schedule/occurrences.ts';
export { type Clocks, elapsedMs } from './lease/clocks.ts';
export { beginLeaseWatch, type LeaseRow, type LeaseWatch, observeLeases } from './lease/observe-leases.ts';
export {
  beginLease,
  type LeaseEffect,
  type LeaseEvent,
  type LeaseState,
  type LeaseTimes,
  mayAct,
  stepLease,
} from './lease/step-lease.ts';
export type { RunState, RunStep } from './run/run-state.ts';
export { needsRechecks } from './run/late-writes.ts';
export { beginRun, stepRun } from './run/step-run.ts';
export { formatComplexity, parseComplexity } from './password/complexity.ts';
export { type GenerateAnswer, generatePassword, type SecretBytes } from './password/generate-password.ts';
