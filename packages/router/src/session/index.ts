export { createSessionService, type SessionLinks, type SessionService } from './session-service.ts';
export type { ExplainedStream, SessionRow, SessionStore, StreamChange } from './session-store.ts';
