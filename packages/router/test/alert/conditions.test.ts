import type { GatewayUid, InstanceView } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { conditionsOf, type WatchedPool } from '../../src/alert/conditions.ts';

let next = 0;
function instance(state: InstanceView['state'], health: InstanceView['health'] = 'ok'): InstanceView {
  next += 1;
  const view = {
    instanceId: `i${next}`,
    state,
    health,
    reason: '',
    streams: 0,
    drain: state === 'draining' ? { by: 'operator' as const, deadlineAtMs: 0, replace: true } : null,
    deviceName: 'secret-host',
    ipAddress: '',
  };
  return view as InstanceView;
}
function pool(instances: readonly InstanceView[], maxInstances = 2, everConnected = true): WatchedPool {
  return { gateway: { uid: 'gAAAAAAAAAAAAAAAAAAAAA' as GatewayUid, maxInstances, everConnected }, instances };
}
const kinds = (...of: Parameters<typeof pool>): string[] => conditionsOf([pool(...of)]).map(({ kind }) => kind);

test('a gateway whose members are all away, or that has none, is offline: told once, not member by member', () => {
  expect(kinds([instance('suspect', 'absent'), instance('draining', 'absent')])).toEqual(['gateway-offline']);
  expect(kinds([])).toEqual(['gateway-offline']);
  expect(kinds([], 2, false)).toEqual([]);
  expect(kinds([instance('ready'), instance('suspect', 'absent')])).toEqual(['member-suspect']);
});

test('standbys wait at a full pool; absent ones do not count, nor does a pool with room', () => {
  const full = [instance('ready'), instance('ready')];
  expect(kinds(full)).toEqual([]);
  expect(kinds([...full, instance('standby')])).toEqual(['pool-full']);
  expect(kinds([...full, instance('standby', 'absent')])).toEqual([]);
  expect(kinds([...full, instance('standby')], 3)).toEqual([]);
});

test('more members than the maximum is over the limit, whatever waits', () => {
  expect(kinds([instance('ready'), instance('ready'), instance('standby')], 1)).toEqual(['gateway-over-limit']);
});

test('a member that drains while its replacement is in already is no surplus', () => {
  expect(kinds([instance('draining'), instance('ready')], 1)).toEqual([]);
  expect(kinds([instance('draining'), instance('ready'), instance('ready')], 1)).toEqual(['gateway-over-limit']);
});

test('no condition holds the name of a host', () => {
  const all = [[instance('suspect', 'suspect')], [instance('suspect', 'absent')], []].flatMap((each) =>
    conditionsOf([pool([...each, instance('standby'), instance('ready'), instance('ready')])]),
  );
  expect(all.length).toBeGreaterThan(2);
  expect(JSON.stringify(all)).not.toContain('secret-host');
});
