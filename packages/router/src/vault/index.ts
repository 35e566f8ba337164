export { checkNewApplication, checkNewGateway, checkRekeyedGateway } from './check-birth.ts';
export { checkItem, checkPlace, rightsToWrite } from './check-item.ts';
export type { VaultStore } from './vault-store.ts';
