import type { GatewayUid, Item, ItemUid, Switch } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { checkPermission } from './check-permission.ts';

const gateway = 'g' as GatewayUid;
function item(uid: string, type: Item['type'], tunneling: Switch, configuration: string | null, of = gateway): Item {
  return {
    uid: uid as ItemUid,
    app: 'a' as Item['app'],
    type,
    createdAtMs: 0,
    modifiedAtMs: 0,
    parts: {},
    mirror: {
      gateway: of,
      configuration: configuration as ItemUid | null,
      credentials: [],
      permissions: { connections: 'off', tunneling, rotation: 'off', recording: 'off' },
    },
  };
}
const want = { resource: 'r', gateway, permission: 'tunneling' } as const;

test.each([
  ['on', 'default', null],
  ['on', 'on', null],
  ['on', 'off', 'PAM_PERMISSION_OFF'],
  ['off', 'on', 'PAM_PERMISSION_OFF'],
  ['off', 'default', 'PAM_PERMISSION_OFF'],
  ['default', 'on', 'PAM_PERMISSION_OFF'],
] as const)('configuration %s and record %s: %s', (configuration, record, code) => {
  const items = [item('r', 'pamMachine', record, 'c'), item('c', 'pamNetworkConfiguration', configuration, null)];
  if (code === null) expect(checkPermission(want, items).configuration.uid).toBe('c');
  else expect(() => checkPermission(want, items)).toThrowError(expect.objectContaining({ code }));
});

test('absence fails closed: no record, no configuration, another gateway, nothing one can connect to', () => {
  const configuration = item('c', 'pamNetworkConfiguration', 'on', null);
  const foreign = item('c', 'pamNetworkConfiguration', 'on', null, 'other' as GatewayUid);
  const cases: [Item[], string][] = [
    [[configuration], 'PAM_NOT_FOUND'],
    [[item('r', 'pamMachine', 'on', null), configuration], 'PAM_PERMISSION_OFF'],
    [[item('r', 'pamMachine', 'on', 'c')], 'PAM_PERMISSION_OFF'],
    [[item('r', 'pamMachine', 'on', 'c'), foreign], 'PAM_NOT_ALLOWED'],
    [[item('r', 'pamUser', 'on', 'c'), configuration], 'PAM_BAD_REQUEST'],
  ];
  for (const [items, code] of cases) {
    expect(() => checkPermission(want, items)).toThrowError(expect.objectContaining({ code }));
  }
});
