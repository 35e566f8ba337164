export { type AdmissionOutcome, decideAdmission, type Join } from './decide-admission.ts';
export {
  decideDemotion,
  decideFill,
  decideIntent,
  decideLeave,
  decideReclaim,
  decideRevocation,
  decideSurplus,
} from './decide-slots.ts';
export { intentSchema } from './intent.ts';
export { type GatewayRow, type Intent, isListed, type MemberRow, type PoolDelta, type PoolSnapshot } from './member.ts';
export type { PoolChange, PoolRows } from './pool-rows.ts';
export { createPoolService, keysReplaced, type PoolEffects, type PoolService } from './pool-service.ts';
export type { PoolStore } from './pool-store.ts';
export { noReadyInstance } from './route.ts';
export { defaultTiming, type PoolTiming, poolTiming, timeFlag } from './timing.ts';
