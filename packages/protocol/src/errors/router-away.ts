import type { ErrorCode } from './catalog.ts';

/** True when the router was not reached, by whose fault ever: nothing was sent to it, and it may be there later. */
export function isRouterAway(code: ErrorCode): boolean {
  return code === 'PAM_ROUTER_UNREACHABLE' || code === 'PAM_PROXY_UNREACHABLE' || code === 'PAM_PROXY_REFUSED';
}
