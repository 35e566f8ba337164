import { PamError } from '@sallyport/protocol';
import { formatHost, type HostPort, parseHostPort } from '@sallyport/seal';

/** Reads one HOST:PORT of the join configuration. */
export function readRouterAddress(text: string): HostPort {
  const address = parseHostPort(text);
  if (address === undefined)
    throw new PamError('PAM_JOIN_CONFIG_INVALID', `the router address is not HOST:PORT: ${text}`);
  return address;
}

export const showAddress = (address: HostPort): string => `${formatHost(address.host)}:${address.port}`;
