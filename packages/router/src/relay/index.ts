export { readBalancers } from './balancers.ts';
export { startCarriers } from './start-carriers.ts';
export { createClientAddresses } from './client-addresses.ts';
export type { MatchEnd, RelayLimits, RelayTotals } from './relay-messages.ts';
export { createRunningMatches } from './running-matches.ts';
export type { Relay, RelayEvents } from './start-relay.ts';
export { startRelay } from './start-relay.ts';
export { readDescriptorLimit } from './descriptor-budget.ts';
