export { openTrustLog, type TrustLog } from './trust-log.ts';
