export { checkActorEvent, readGivenBackEvent } from './actor-event.ts';
export type { AuditStore, ChainHead, NewEvent } from './audit-store.ts';
export { type AuditTrail, createAuditTrail, type EventBody } from './audit-trail.ts';
