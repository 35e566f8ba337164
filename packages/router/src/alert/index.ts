export type { AlertKeeper } from './alert-memory.ts';
export { type AlertTimes, alertRules } from './alert-rules.ts';
export { type AlertEndpoint, createAlertService } from './alert-service.ts';
export { createAttentionDesk } from './attention.ts';
export { conditionsOfJobs } from './job-conditions.ts';
