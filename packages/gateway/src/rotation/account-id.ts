import { createHmac, hkdfSync } from 'node:crypto';

/**
 * Names of accounts, servers, scripts and services for the router, which can tell them apart and learns nothing else: HMAC-SHA-256 under a
 * key that HKDF makes of the application's facts key of generation 1, which every pool of the application has.
 */
export function accountNames(factsKeyOne: Uint8Array): {
  server(identity: string): string;
  account(identity: string, name: string): string;
  /** Of a script or service: as it was signed, so that one that was edited is another. */
  followUp(what: 'script' | 'service', holder: string, signed: string): string;
} {
  const key = Buffer.from(hkdfSync('sha256', factsKeyOne, new Uint8Array(), 'sallyport account names', 32));
  const name = (...parts: string[]): string =>
    createHmac('sha256', key).update(JSON.stringify(parts)).digest('base64url');
  return {
    server: (identity) => name('server', identity),
    account: (identity, account) => name('account', identity, account),
    followUp: (what, holder, signed) => name(what, holder, signed),
  };
}
