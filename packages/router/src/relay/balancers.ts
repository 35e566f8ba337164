import { BlockList, isIP } from 'node:net';
import { PamError } from '@sallyport/protocol';

const mostEntries = 256;

/** Addresses from which a PROXY header is required; from all others it is refused. */
export interface Balancers {
  has(address: string): boolean;
}

/**
 * @param networks - addresses and CIDRs.
 * @throws PAM_CONFIG_INVALID naming the entry.
 */
export function readBalancers(networks: readonly string[]): Balancers {
  if (networks.length > mostEntries) throw invalid(`more than ${mostEntries} networks`);
  const list = new BlockList();
  for (const network of networks) {
    const [, address = '', digits] = /^([0-9A-Fa-f:.]{2,45})(?:\/(\d{1,3}))?$/.exec(network) ?? [];
    const family = isIP(address);
    const most = family === 4 ? 32 : 128;
    const bits = digits === undefined ? most : Number(digits);
    if (family === 0 || bits > most) throw invalid(`“${network}” is neither an address nor a network`);
    list.addSubnet(address, bits, family === 4 ? 'ipv4' : 'ipv6');
  }
  return {
    has: (text) => {
      const address = text.replace(/^::ffff:(?=\d+\.)/, '');
      const family = isIP(address);
      return family !== 0 && list.check(address, family === 4 ? 'ipv4' : 'ipv6');
    },
  };
}

function invalid(why: string): PamError {
  return new PamError('PAM_CONFIG_INVALID', `--proxy-protocol-from: ${why}`, {
    remedy: 'Give the addresses of your balancers, separated by commas: 10.0.0.5,10.1.0.0/24.',
  });
}
