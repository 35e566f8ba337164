export type { MatchEnd, RelayLimits } from './relay-messages.ts';
export type { Relay, RelayEvents } from './start-relay.ts';
export { startRelay } from './start-relay.ts';
