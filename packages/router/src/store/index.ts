export type { Store, StoreDeps, StorePlace } from './open-store.ts';
export { openStore, storeFiles } from './open-store.ts';
export type { Call, PortCalls, Ports } from './ports.ts';
export { checkStore, restoreStore } from './restore.ts';
