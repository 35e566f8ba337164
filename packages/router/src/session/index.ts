export { createSessionService, type SessionLinks, type SessionService } from './session-service.ts';
export type { StreamChange } from './session-store.ts';
