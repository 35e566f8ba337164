import { openStatement, type StatementRules } from '../jose/statement.ts';
import type { LogState } from '../log/state.ts';
import { refusal } from '../refuse.ts';

/**
 * Opens what only a device may sign that may manage gateways now.
 *
 * @throws rules.code with the whys of a statement, or right.
 */
export async function openForGateways<Payload>(
  signed: string,
  rules: Omit<StatementRules<Payload>, 'keyOf'>,
  log: LogState,
): Promise<Payload> {
  const { payload } = await openStatement(signed, {
    ...rules,
    keyOf: (device) => {
      const known = log.devices.get(device);
      if (known === undefined) return undefined;
      if (log.grants(device, 'gateways')) return known.key;
      throw refusal(rules.code, 'right', `${rules.what} is by a device that may not manage gateways.`);
    },
  });
  return payload;
}
