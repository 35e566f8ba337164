export { checkGivenBackKinds, effectsOf, type EntryEffect } from './given-back.ts';
export {
  markedMembers,
  notBack,
  readRestoreMark,
  refusalOfNew,
  type RestoreMark,
  restoreSettings,
} from './restore-mark.ts';
export { openTrustLog, type TrustLog } from './trust-log.ts';
export type { LogRow, ReplacedStore, TrustStore } from './trust-store.ts';
