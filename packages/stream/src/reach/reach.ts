import { type NoProxy, readNoProxy } from './no-proxy.ts';
import { type Proxy, readProxy } from './proxy.ts';

/**
 * How this machine reaches routers: directly, or through an HTTP proxy. Read once at the start of a program and given to
 * everything that opens a connection to a router. Targets are never reached through it.
 */
export interface Reach {
  readonly proxy: Proxy | null;
  readonly except: NoProxy;
}

/** Straight to the router. */
export const directReach: Reach = { proxy: null, except: readNoProxy('') };

/**
 * Reads it from the program's own setting, else from `https_proxy` or `HTTPS_PROXY` (the lower-case one first, as curl
 * has it); `no_proxy` or `NO_PROXY` says what is exempt, whichever named the proxy.
 *
 * @param own - value of --proxy, SALLYPORT_PROXY or the settings file; `none` is: no proxy, whatever the environment says.
 * @throws PAM_CONFIG_INVALID naming the setting.
 */
export function readReach(own: string | undefined, environment: Readonly<Record<string, string | undefined>>): Reach {
  const given = (name: string): string | undefined => environment[name.toLowerCase()] || environment[name];
  const except = readNoProxy(given('NO_PROXY') ?? '');
  if (own === 'none') return { proxy: null, except };
  if (own !== undefined && own !== '') return { proxy: readProxy(own, '--proxy'), except };
  const usual = given('HTTPS_PROXY');
  return { proxy: usual === undefined ? null : readProxy(usual, 'HTTPS_PROXY'), except };
}

/** The proxy to ask for this router; null: dial it. */
export function proxyFor(reach: Reach, router: { readonly host: string; readonly port: number }): Proxy | null {
  return reach.proxy === null || reach.except.has(router.host, router.port) ? null : reach.proxy;
}
