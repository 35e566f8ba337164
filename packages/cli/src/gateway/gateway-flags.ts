import { PamError } from '@sallyport/protocol';
import { formatAddress, parseAddress } from '../api/address.ts';

/** A whole number of a flag within bounds. PAM_USAGE. */
export function readWhole(flag: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^-?\d{1,12}$/.test(text) && value >= least && value <= most) return value;
  throw new PamError('PAM_USAGE', `${flag}: “${text}” is not a whole number from ${least} to ${most}`);
}

export const maxInstancesBounds = [1, 1_000] as const;

/** Router addresses a gateway is told: those given, else the one this profile uses. At most 8. */
export function gatewayRouters(given: readonly string[] | undefined, own: string): readonly string[] {
  const routers = (given ?? [own]).map((one) => formatAddress(parseAddress(one, 7443)));
  if (routers.length > 8) throw new PamError('PAM_USAGE', '--router: at most 8 addresses');
  return routers;
}
