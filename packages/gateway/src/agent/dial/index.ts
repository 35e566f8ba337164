export type { AddressDecision, AddressPolicy, NeverEndpoint } from './address-policy.ts';
export { decideAddress } from './address-policy.ts';
export type { DialDeps, Dialled, DialTarget } from './dial-target.ts';
export { checkTarget, dialTarget, dialWithinMs } from './dial-target.ts';
export { localAddresses, resolveName, systemDial } from './system-dial.ts';
