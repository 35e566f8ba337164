export { openWatch, type RouterWatch, watchAudit, watchPool, watchSessions } from './watch-router.ts';
export type { WatchPlace } from './watch-server.ts';
