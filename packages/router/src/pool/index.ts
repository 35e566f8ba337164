export { type AdmissionOutcome, decideAdmission, type Join, lineLimit } from './decide-admission.ts';
export {
  decideDemotion,
  decideFill,
  decideIntent,
  decideLeave,
  decideReclaim,
  decideRevocation,
} from './decide-slots.ts';
export { intentSchema } from './intent.ts';
export type { GatewayRow, GoneReason, Intent, Membership, MemberRow, PoolSnapshot } from './member.ts';
export type { PoolChange, PoolRows } from './pool-rows.ts';
export type { AdmitInput, MemberRef, PoolStore, Redeemed, TokenRow } from './pool-store.ts';
export { defaultTiming, type PoolTiming, poolTiming } from './timing.ts';
export {
  createPoolService,
  type HelloAnswer,
  type PoolClock,
  type PoolEffects,
  type PoolService,
  type PoolServiceDeps,
} from './pool-service.ts';
export type { PoolView } from './pool-view.ts';
export { noReadyInstance, type Picked, replayDecision } from './route.ts';
