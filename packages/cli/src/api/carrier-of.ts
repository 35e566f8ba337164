import { PamError } from '@sallyport/protocol';
import { carrierChoices, createLegCarrier, type LegCarrier } from '@sallyport/stream';
import type { Cli } from '../cli.ts';
import { reachOf } from './reach-of.ts';

/**
 * What the legs of this run of `pam` travel in. PAM_USAGE when --carrier is none of its words, PAM_CONFIG_INVALID of the
 * proxy.
 *
 * @param pins - of the router.
 */
export function carrierOf(cli: Cli, pins: readonly string[]): LegCarrier {
  const wish = cli.carrier ?? 'tcp';
  const choice = carrierChoices.find((one) => one === wish);
  if (choice === undefined) throw new PamError('PAM_USAGE', `--carrier is ${carrierChoices.join(', ')}, not “${wish}”`);
  return createLegCarrier({
    choice,
    reach: reachOf(cli),
    pins: () => pins,
    onFallBack: () =>
      cli.terminal.err(
        'Plain connections do not pass here: going on inside TLS and WebSocket (--carrier websocket).\n',
      ),
  });
}
