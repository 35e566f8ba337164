export { openTrustLog, type TrustLog } from './trust-log.ts';
export type { TrustStore } from './trust-store.ts';
