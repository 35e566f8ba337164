export type { AddressPolicy, NeverEndpoint } from './address-policy.ts';
export type { DialDeps, DialTarget } from './dial-target.ts';
export { checkTarget, dialTarget } from './dial-target.ts';
export { localAddresses, resolveName, systemDial, systemPlainDial } from './system-dial.ts';
