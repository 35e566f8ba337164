import { getInfo, PamError } from '@sallyport/protocol';
import type { SigningKey } from '@sallyport/seal';
import type { Address } from '../api/address.ts';
import { type PinnedTransport, pinnedTransport } from '../api/pinned-transport.ts';
import { reachOf } from '../api/reach-of.ts';
import { clockSkew, createRouterClient, type RouterClient } from '../api/router-client.ts';
import type { Cli } from '../cli.ts';
import { jitter } from './signed-in.ts';

/** Signed requests are good for 60 s; a clock that is off by more than half of that is refused before anything begins. */
const toleranceMs = 30_000;

/** A router that was reached but not signed in to. */
export interface Reached {
  readonly transport: PinnedTransport;
  /** Only public routes. */
  readonly client: RouterClient;
  readonly claimed: boolean;
  /** Client whose calls are proved by `key`, with an access token once there is one. */
  clientFor(key: SigningKey, accessToken: string | null): RouterClient;
}

/**
 * Opens TLS to a router, compares its key with `pins` (null: keeps the first key seen for the caller to compare), and
 * checks product, protocol and clocks. PAM_ROUTER_UNREACHABLE, PAM_PROXY_*, PAM_ROUTER_IMPOSTOR, PAM_VERSION_UNSUPPORTED, PAM_CLOCK_SKEW.
 */
export async function reachRouter(cli: Cli, address: Address, pins: readonly string[] | null): Promise<Reached> {
  const transport = pinnedTransport(address, pins, { clock: cli.clock, reach: reachOf(cli) });
  const base = { transport, clock: cli.clock, signal: cli.signal, jitter };
  const client = createRouterClient(base);
  const before = cli.clock.nowMs();
  const info = await client.call(getInfo);
  const after = cli.clock.nowMs();
  if (info.protocol.min > 1 || info.protocol.max < 1) {
    throw new PamError(
      'PAM_VERSION_UNSUPPORTED',
      `the router (${info.version}) speaks protocol ${info.protocol.min} to ${info.protocol.max}, this pam 1`,
    );
  }
  const aheadMs = (before + after) / 2 - info.timeMs;
  if (Math.abs(aheadMs) > toleranceMs + (after - before) / 2) throw clockSkew(aheadMs);
  return {
    transport,
    client,
    claimed: info.claimed,
    clientFor: (key, accessToken) => createRouterClient({ ...base, device: { key, accessToken: () => accessToken } }),
  };
}
