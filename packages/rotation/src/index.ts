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
  SecretLimits,
  ServerIdentity,
  TargetKind,
  WriteOrder,
} from './kind/target-kind.ts';
export { fences } from './kind/target-kind.ts';
export type { ClaimView, LoginAnswer, RunEffect, RunEvent, RunSettings } from './run/effects.ts';
export type { Credential } from './secret/secret.ts';
export { Secret } from './secret/secret.ts';
