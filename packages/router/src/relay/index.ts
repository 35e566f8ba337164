export { readBalancers } from './balancers.ts';
export { type Carriers, startCarriers } from './start-carriers.ts';
export { createClientAddresses, endsOf } from './client-addresses.ts';
export type { MatchEnd, RelayLimits, RelayTotals } from './relay-messages.ts';
export { ownUsage, type ProcessUsage } from './own-usage.ts';
export { createRunningMatches } from './running-matches.ts';
export type { EarlyRelay, Relay, RelayEvents, WaitingConnection } from './start-relay.ts';
export { beginRelay, startRelay } from './start-relay.ts';
export { readDescriptorLimit, roomToWait } from './descriptor-budget.ts';
