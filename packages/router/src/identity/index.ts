export { hashToken, newSignIn } from './access-token.ts';
export { checkGenesis, checkOwnDevice, checkPlainEntry, entryOfKind } from './check-entries.ts';
export type { IdentityStore, OpaqueAttempt, Person, SignIn } from './identity-store.ts';
export { createOpaqueServer, type OpaqueServer } from './opaque-server.ts';
export { createRateLimit, type RateLimit } from './rate-limit.ts';
export { createReplayCache, type ReplayCache } from './replay-cache.ts';
export { loadRouterIdentity, type RouterIdentity } from './router-identity.ts';
