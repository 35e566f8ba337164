import { type InstanceView, instanceViewSchema } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { tableText } from '../terminal/show.ts';
import { gatewayJson, gatewayStatus, gatewayTable, type NamedGateway, statusText } from './gateway-rows.ts';

const atMs = Date.UTC(2026, 10, 23, 14, 2, 11);

function instance(n: number, state: InstanceView['state'], health: InstanceView['health'] = 'ok'): InstanceView {
  return instanceViewSchema.parse({
    instanceId: `instance-number-00000${n}`.slice(0, 22),
    state,
    health,
    reason: state === 'standby' ? 'pool full: maximum 3, connected 3' : '',
    deviceName: 'vm',
    os: 'linux',
    osVersion: 'Debian GNU/Linux 12',
    arch: 'x64',
    machineType: 'x86_64',
    gatewayVersion: '0.1.0',
    ipAddress: '10.0.0.9',
    connectedOnMs: atMs,
    sinceMs: atMs,
    lastHeartbeatMs: atMs,
    streams: n,
    maxStreams: n === 1 ? 2_000 : null,
    drain: null,
  });
}

function gateway(maxInstances: number, instances: readonly InstanceView[], everConnected = true): NamedGateway {
  const view = { maxInstances, createdAtMs: atMs, modifiedAtMs: atMs, everConnected, instances: [...instances] };
  return { uid: 'G234567890123456789012', title: 'dc1', appUid: 'A234567890123456789012', appTitle: 'prod', view };
}

test.each([
  ['one of one ready', gateway(1, [instance(1, 'ready')]), 'online', 'ONLINE'],
  ['two of three ready', gateway(3, [instance(1, 'ready'), instance(2, 'ready')]), 'online', 'ONLINE (2/3)'],
  [
    'standbys and joiners are rows and never counted',
    gateway(1, [instance(1, 'ready'), instance(2, 'standby'), instance(3, 'joining')]),
    'online',
    'ONLINE',
  ],
  [
    'one suspect',
    gateway(3, [instance(1, 'ready'), instance(2, 'suspect', 'suspect'), instance(3, 'ready')]),
    'degraded',
    'DEGRADED (3/3, 1 suspect)',
  ],
  [
    'one absent and one draining',
    gateway(3, [instance(1, 'ready'), instance(2, 'suspect', 'absent'), instance(3, 'draining')]),
    'degraded',
    'DEGRADED (3/3, 1 suspect, 1 draining)',
  ],
  ['cordoned', gateway(1, [instance(1, 'cordoned')]), 'degraded', 'DEGRADED (1/1, 1 cordoned)'],
  [
    'more than the maximum',
    gateway(
      3,
      [1, 2, 3, 4, 5].map((n) => instance(n, 'ready')),
    ),
    'over_limit',
    '5/3 over limit',
  ],
  [
    'more than the maximum, one of them suspect',
    gateway(1, [instance(1, 'ready'), instance(2, 'suspect', 'suspect')]),
    'over_limit',
    '2/1 over limit, 1 suspect',
  ],
  [
    'one more than the maximum while a draining one is replaced',
    gateway(1, [
      { ...instance(1, 'draining'), drain: { by: 'operator', deadlineAtMs: atMs, replace: true } },
      instance(2, 'ready'),
    ]),
    'degraded',
    'DEGRADED (2/1, 1 draining)',
  ],
  ['everybody absent', gateway(3, [instance(1, 'suspect', 'absent')]), 'offline', 'OFFLINE'],
  ['nobody there', gateway(3, []), 'offline', 'OFFLINE'],
  ['nobody ever', gateway(3, [], false), 'never_connected', 'NEVER CONNECTED'],
  ['only somebody joining', gateway(3, [instance(1, 'joining')], false), 'never_connected', 'NEVER CONNECTED'],
] as const)('status of a gateway: %s', (_, given, word, text) => {
  expect(gatewayStatus(given.view)).toBe(word);
  expect(statusText(given.view)).toBe(text);
});

test('JSON has one shape for every gateway, with ISO times', () => {
  const shapes = [
    gateway(1, [instance(1, 'ready')]),
    gateway(3, [instance(1, 'ready'), instance(2, 'standby')]),
    gateway(3, []),
    gateway(3, [], false),
  ].map(gatewayJson);
  const [first] = shapes;
  for (const shape of shapes) expect(Object.keys(shape)).toEqual(Object.keys(first ?? {}));
  expect(shapes[1]).toEqual({
    gateway_uid: 'G234567890123456789012',
    gateway_name: 'dc1',
    ksm_app_name: 'prod',
    ksm_app_uid: 'A234567890123456789012',
    status: 'online',
    gateway_version: '0.1.0',
    max_instances: 3,
    connected_instances: 1,
    created_on: '2026-11-23T14:02:11.000Z',
    last_modified: '2026-11-23T14:02:11.000Z',
    instances: [1, 2].map((n) => ({
      instance_id: `instance-number-00000${n}`.slice(0, 22),
      state: n === 1 ? 'ready' : 'standby',
      health: 'ok',
      reason: n === 1 ? '' : 'pool full: maximum 3, connected 3',
      device_name: 'vm',
      os: 'linux',
      os_version: 'Debian GNU/Linux 12',
      arch: 'x64',
      machine_type: 'x86_64',
      gateway_version: '0.1.0',
      ip_address: '10.0.0.9',
      connected_on: '2026-11-23T14:02:11.000Z',
      since: '2026-11-23T14:02:11.000Z',
      last_heartbeat: '2026-11-23T14:02:11.000Z',
      streams: n,
      max_streams: n === 1 ? 2_000 : null,
      drain_by: null,
      drain_deadline: null,
    })),
  });
  expect(shapes[2]).toMatchObject({ status: 'offline', gateway_version: null, connected_instances: 0, instances: [] });
});

test('a pool is one row; verbose adds one for each instance', () => {
  const pool = gateway(3, [instance(1, 'ready'), instance(2, 'standby')]);
  expect(gatewayTable([pool], false).rows).toHaveLength(1);
  const { head, rows } = gatewayTable([pool], true);
  expect(rows).toHaveLength(3);
  for (const row of rows) expect(row).toHaveLength(head.length);
  expect(tableText(head, rows)).toMatchSnapshot();
});

test('text from elsewhere cannot steer the terminal', () => {
  const text = tableText(['name'], [['\u001b[2Jclean\nline\u202e']]);
  expect(text).not.toContain('\u001b');
  expect(text).not.toContain('\u202e');
  expect(text.split('\n')).toHaveLength(3);
});
