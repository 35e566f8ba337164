export { checkPermission } from './check-permission.ts';
export { type DispatchDeps, type DispatchOrder, dispatchStream, type Placed } from './dispatch-stream.ts';
export {
  createSessionService,
  type RouteOrder,
  type SessionLegs,
  type SessionLinks,
  type SessionService,
} from './session-service.ts';
export type { SessionRow, SessionStart, SessionStore, StreamChange } from './session-store.ts';
