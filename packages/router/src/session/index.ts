export { createSessionService, type SessionLinks, type SessionService } from './session-service.ts';
export type { ExplainedStream, Killed, SessionRow, SessionStore, StreamChange, Unwanted } from './session-store.ts';
