import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { gatewayJson, instanceJson, statusText } from '../gateway/gateway-rows.ts';
import { listNamedGateways } from '../gateway/list-named.ts';
import { resolveInstance } from '../gateway/resolve-instance.ts';
import { showJson, showTable } from '../terminal/show.ts';
import { openVaultSession } from '../vault/open-session.ts';
import { resolveName } from '../vault/resolve.ts';

const flagsSchema = z.object({ gateway: z.string(), instance: z.string().optional() });

/** `pam gateway info -g GATEWAY [-i INSTANCE]`; an instance is named by its id, the beginning of it, or its host. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  const gateway = resolveName('gateway', flags.gateway, await listNamedGateways(session));
  session.close();
  if (flags.instance === undefined) {
    const json = gatewayJson(gateway);
    if (cli.format === 'json') showJson(cli.terminal, json);
    else {
      const { instances, status: _, ...head } = json;
      const members = instances.map((one): [string, string] => [
        `instance ${one.instance_id}`,
        `${one.state}, ${one.device_name}, ${one.ip_address}, ${one.streams}${one.max_streams === null ? '' : ` of ${one.max_streams}`} streams${one.reason === '' ? '' : `; ${one.reason}`}`,
      ]);
      showTable(
        cli.terminal,
        ['field', 'value'],
        [
          ['status', statusText(gateway.view)],
          ...Object.entries(head).map(([key, value]): [string, string] => [key, String(value ?? '')]),
          ...members,
        ],
      );
    }
    return undefined;
  }
  const only = resolveInstance(gateway, flags.instance);
  const json = { gateway_uid: gateway.uid, gateway_name: gateway.title, ...instanceJson(only) };
  if (cli.format === 'json') showJson(cli.terminal, json);
  else
    showTable(
      cli.terminal,
      ['field', 'value'],
      Object.entries(json).map(([key, value]): [string, string] => [key, String(value ?? '')]),
    );
  return undefined;
};
