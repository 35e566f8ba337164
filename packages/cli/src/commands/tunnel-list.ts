import type { Run } from '../cli.ts';
import { formatAddress } from '../api/address.ts';
import { openProfile } from '../person/signed-in.ts';
import { ageText, isoTime, showJson, showTable } from '../terminal/show.ts';
import { openTunnelRegistry, type TunnelState } from '../tunnel/registry.ts';

/** `pam tunnel list`: tunnels of this machine and profile that run now; needs neither sign-in nor router. */
export const run: Run = async (cli) => {
  const { store } = await openProfile(cli);
  const tunnels = await openTunnelRegistry(store.folder).list();
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      tunnels: tunnels.map((one) => ({
        tunnel_id: one.id,
        pid: one.pid,
        host: one.host,
        port: one.port,
        record_uid: one.recordUid,
        record_name: one.recordTitle,
        target: one.target,
        gateway_name: one.gatewayTitle,
        mode: one.mode,
        state: one.state.kind,
        state_since: isoTime(one.state.sinceMs),
        streams: one.state.streams,
        started_on: isoTime(one.startedAtMs),
        log: one.log,
      })),
    });
    return undefined;
  }
  if (tunnels.length === 0) cli.terminal.err('No tunnel runs: pam tunnel start RECORD starts one.\n');
  else {
    showTable(
      cli.terminal,
      ['id', 'local', 'record', 'target', 'gateway', 'mode', 'state', 'streams', 'pid', 'up'],
      tunnels.map((one) => [
        one.id,
        one.mode === 'stdio' ? 'stdio' : formatAddress(one),
        one.recordTitle,
        one.target,
        one.gatewayTitle,
        one.mode,
        stateText(one.state, cli.clock.nowMs()),
        one.state.streams,
        one.pid,
        ageText(cli.clock.nowMs() - one.startedAtMs),
      ]),
    );
  }
  return undefined;
};

/** `ready`, `signed out for 3 min`, `router away for 12 s`. */
function stateText(state: TunnelState, nowMs: number): string {
  const word = state.kind.replace('-', ' ');
  return state.sinceMs === null ? word : `${word} for ${ageText(nowMs - state.sinceMs)}`;
}
