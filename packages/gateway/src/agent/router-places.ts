import type { HostPort } from '@sallyport/seal';
import type { NeverEndpoint } from './dial/index.ts';

/** Where the routers are, by address: no tunnel may lead there. */
export interface RouterPlaces {
  /** A link went to this address. */
  seen(remote: { readonly address: string; readonly port: number }): void;
  /** Looks up the configured names anew; one that does not resolve keeps what is known. */
  refresh(): void;
  endpoints(): readonly NeverEndpoint[];
}

export function createRouterPlaces(
  routers: readonly HostPort[],
  resolve: (name: string) => Promise<readonly string[]>,
): RouterPlaces {
  const known = new Map<string, NeverEndpoint>();
  const add = (address: string, port: number): void => {
    known.set(`${address} ${port}`, { address, port, why: 'router' });
  };
  for (const { host, port } of routers) add(host, port);
  const lookUp = async ({ host, port }: HostPort): Promise<void> => {
    const answers = await resolve(host).catch(() => []);
    for (const address of answers.slice(0, 32)) add(address, port);
  };
  return {
    seen: ({ address, port }) => {
      if (address !== '') add(address, port);
    },
    refresh: () => {
      for (const router of routers) void lookUp(router);
    },
    endpoints: () => [...known.values()],
  };
}
