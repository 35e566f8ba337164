export { type LogAppend, openTrustLog, type TrustLog } from './trust-log.ts';
export type { LogRow, TrustStore } from './trust-store.ts';
