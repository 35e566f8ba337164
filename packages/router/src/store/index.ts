export type { Call, PortCalls } from './ports.ts';
export type { Store, StorePlace } from './open-store.ts';
export { openStore, storeFiles } from './open-store.ts';
export { checkStore, restoreStore } from './restore.ts';
