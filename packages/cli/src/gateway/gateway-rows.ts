import type { GatewayView, InstanceView } from '@sallyport/protocol';
import { isoTime, timeCell } from '../terminal/show.ts';

export type GatewayStatus = 'online' | 'degraded' | 'over_limit' | 'offline' | 'never_connected' | 'unknown';

/** One gateway with its title opened; the list is made of these and nothing else. */
export interface NamedGateway {
  readonly uid: string;
  readonly title: string;
  readonly appUid: string;
  readonly appTitle: string;
  readonly view: Pick<GatewayView, 'maxInstances' | 'createdAtMs' | 'modifiedAtMs' | 'everConnected' | 'instances'>;
}

/** Members that hold a slot; who stands by or is joining is listed but never counted. */
function admitted(instances: readonly InstanceView[]): readonly InstanceView[] {
  return instances.filter((instance) => instance.state !== 'standby' && instance.state !== 'joining');
}

/** Admitted members whose link is up. */
function connected(instances: readonly InstanceView[]): readonly InstanceView[] {
  return admitted(instances).filter((instance) => instance.health !== 'absent');
}

/**
 * The one word of a gateway. `online`: every admitted member is ready; `degraded`: some are not; `over_limit`: more are
 * admitted than the maximum (it was lowered); `offline`: none is connected; `never_connected`: none ever was.
 */
export function gatewayStatus(view: NamedGateway['view']): GatewayStatus {
  const members = admitted(view.instances);
  if (connected(view.instances).length === 0) return view.everConnected ? 'offline' : 'never_connected';
  if (surplus(view) > 0) return 'over_limit';
  return members.every((member) => member.state === 'ready') ? 'online' : 'degraded';
}

/** How many are admitted over the maximum, those aside that a draining one lets in for its replacement. */
export function surplus(view: NamedGateway['view']): number {
  const members = admitted(view.instances);
  return members.length - view.maxInstances - members.filter((member) => member.drain?.replace === true).length;
}

/** The status as tables show it: `ONLINE`, `ONLINE (2/3)`, `DEGRADED (3/3, 1 suspect)`, `5/3 over limit`, … */
export function statusText(view: NamedGateway['view']): string {
  const status = gatewayStatus(view);
  const count = `${admitted(view.instances).length}/${view.maxInstances}`;
  switch (status) {
    case 'online':
      return view.maxInstances === 1 ? 'ONLINE' : `ONLINE (${count})`;
    case 'degraded':
      return `DEGRADED (${[count, ...notReady(view.instances)].join(', ')})`;
    case 'over_limit':
      return [`${count} over limit`, ...notReady(view.instances)].join(', ');
    case 'offline':
      return 'OFFLINE';
    case 'never_connected':
      return 'NEVER CONNECTED';
    case 'unknown':
      return 'UNKNOWN';
    default:
      return status satisfies never;
  }
}

function notReady(instances: readonly InstanceView[]): readonly string[] {
  return (['suspect', 'draining', 'cordoned'] as const).flatMap((state) => {
    const count = admitted(instances).filter((instance) => instance.state === state).length;
    return count === 0 ? [] : [`${count} ${state}`];
  });
}

/** `connected_instances` counts admitted members whose link is up. `instance_id` and every field are always there. */
export interface GatewayJson {
  readonly gateway_uid: string;
  readonly gateway_name: string;
  readonly ksm_app_name: string;
  readonly ksm_app_uid: string;
  readonly status: GatewayStatus;
  readonly gateway_version: string | null;
  readonly max_instances: number;
  readonly connected_instances: number;
  readonly created_on: string | null;
  readonly last_modified: string | null;
  readonly instances: readonly InstanceJson[];
}

export interface InstanceJson {
  readonly instance_id: string;
  readonly state: string;
  readonly health: string;
  readonly reason: string;
  readonly device_name: string;
  readonly os: string;
  readonly os_version: string;
  readonly arch: string;
  readonly machine_type: string;
  readonly gateway_version: string;
  readonly ip_address: string;
  readonly connected_on: string | null;
  readonly since: string | null;
  readonly last_heartbeat: string | null;
  readonly streams: number;
  /** Streams it runs at most; null when it did not say. */
  readonly max_streams: number | null;
  /** Who began its drain; null when it does not drain. */
  readonly drain_by: string | null;
  readonly drain_deadline: string | null;
}

/** One shape for every gateway: single, pool, offline, never connected. Times are ISO 8601 in UTC. */
export function gatewayJson(gateway: NamedGateway): GatewayJson {
  const { view } = gateway;
  return {
    gateway_uid: gateway.uid,
    gateway_name: gateway.title,
    ksm_app_name: gateway.appTitle,
    ksm_app_uid: gateway.appUid,
    status: gatewayStatus(view),
    gateway_version: sharedVersion(view.instances),
    max_instances: view.maxInstances,
    connected_instances: connected(view.instances).length,
    created_on: isoTime(view.createdAtMs),
    last_modified: isoTime(view.modifiedAtMs),
    instances: view.instances.map(instanceJson),
  };
}

export function instanceJson(instance: InstanceView): InstanceJson {
  return {
    instance_id: instance.instanceId,
    state: instance.state,
    health: instance.health,
    reason: instance.reason,
    device_name: instance.deviceName,
    os: instance.os,
    os_version: instance.osVersion,
    arch: instance.arch,
    machine_type: instance.machineType,
    gateway_version: instance.gatewayVersion,
    ip_address: instance.ipAddress,
    connected_on: isoTime(instance.connectedOnMs),
    since: isoTime(instance.sinceMs),
    last_heartbeat: isoTime(instance.lastHeartbeatMs),
    streams: instance.streams,
    max_streams: instance.maxStreams,
    drain_by: instance.drain?.by ?? null,
    drain_deadline: isoTime(instance.drain?.deadlineAtMs ?? null),
  };
}

/** The version of the connected members; several are joined by a comma, null when nobody is connected. */
function sharedVersion(instances: readonly InstanceView[]): string | null {
  const versions = [...new Set(connected(instances).map((instance) => instance.gatewayVersion))].sort();
  return versions.length === 0 ? null : versions.join(', ');
}

const plainHead = ['application (uid)', 'gateway', 'gateway uid', 'status', 'version'] as const;
const verboseHead = [
  ...plainHead,
  'device name',
  'os',
  'os version',
  'arch',
  'machine type',
  'address',
  'created',
  'last modified',
  'since',
  'last heartbeat',
  'streams',
] as const;

/**
 * Head and rows of the table. A pool is one row; verbose adds a child row for each instance, whose id stands in the
 * gateway's column behind `|-`.
 */
export function gatewayTable(
  gateways: readonly NamedGateway[],
  verbose: boolean,
  status: (gateway: NamedGateway) => string = (gateway) => statusText(gateway.view),
): { readonly head: readonly string[]; readonly rows: readonly (readonly (string | number)[])[] } {
  const rows = gateways.flatMap((gateway) => {
    const { view } = gateway;
    const plain = [
      `${gateway.appTitle} (${gateway.appUid})`,
      gateway.title,
      gateway.uid,
      status(gateway),
      sharedVersion(view.instances) ?? '',
    ];
    if (!verbose) return [plain];
    const parent = [
      ...plain,
      ...(['deviceName', 'os', 'osVersion', 'arch', 'machineType'] as const).map((field) =>
        shared(view.instances, field),
      ),
      '',
      timeCell(view.createdAtMs),
      timeCell(view.modifiedAtMs),
      '',
      '',
      view.instances.reduce((sum, instance) => sum + instance.streams, 0),
    ];
    return [parent, ...view.instances.map(instanceRow)];
  });
  return { head: verbose ? verboseHead : plainHead, rows };
}

function instanceRow(instance: InstanceView): readonly (string | number)[] {
  const health = instance.health === 'ok' || instance.state === instance.health ? '' : `, ${instance.health}`;
  const { drain } = instance;
  const until = drain === null ? '' : ` until ${timeCell(drain.deadlineAtMs)}`;
  const reason = instance.reason === '' ? '' : `: ${instance.reason}`;
  return [
    '',
    '|- instance',
    instance.instanceId,
    `${instance.state}${until}${health}${reason}`,
    instance.gatewayVersion,
    instance.deviceName,
    instance.os,
    instance.osVersion,
    instance.arch,
    instance.machineType,
    instance.ipAddress,
    '',
    '',
    timeCell(instance.sinceMs),
    timeCell(instance.lastHeartbeatMs),
    instance.streams,
  ];
}

/** A field that all instances share; empty when they differ (their rows tell). */
function shared(
  instances: readonly InstanceView[],
  field: 'deviceName' | 'os' | 'osVersion' | 'arch' | 'machineType',
): string {
  const values = new Set(instances.map((instance) => instance[field]));
  const [only] = values;
  return values.size === 1 && only !== undefined ? only : '';
}
