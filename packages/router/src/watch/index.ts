export { openWatch, watchAudit, watchPool, watchSessions } from './watch-router.ts';
export type { WatchPlace } from './watch-server.ts';
