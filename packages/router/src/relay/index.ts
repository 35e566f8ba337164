export type { ExpectedTicket, MatchBytes, MatchEnd, RelayLimits } from './relay-messages.ts';
export type { Relay, RelayEvents, RelayLog, RelayOptions } from './start-relay.ts';
export { startRelay } from './start-relay.ts';
