import type {
  ApplicationUid,
  DeviceId,
  GatewayUid,
  HostView,
  InstanceId,
  ItemUid,
  KeyWrap,
  Mirror,
  PersonUid,
  SessionId,
  StreamId,
  WriteItem,
} from '@sallyport/protocol';
import type { Person } from '../../src/identity/identity-store.ts';
import { testNowMs } from './engines-time.ts';

/** Ids made of a word, so that a failure reads well. */
const word = (text: string, length: number): string => text.padEnd(length, '_');
export const appUid = (text = 'app'): ApplicationUid => word(text, 22) as ApplicationUid;
export const gatewayUid = (text = 'gateway'): GatewayUid => word(text, 22) as GatewayUid;
export const itemUid = (text: string): ItemUid => word(text, 22) as ItemUid;
export const instanceId = (text: string): InstanceId => word(text, 22) as InstanceId;
export const sessionId = (text: string): SessionId => word(text, 22) as SessionId;
export const streamId = (text: string): StreamId => word(text, 22) as StreamId;
export const personUid = (text = 'person'): PersonUid => word(text, 22) as PersonUid;
export const deviceId = (text = 'device'): DeviceId => word(text, 43) as DeviceId;
export const hash = (text: string): string => word(text, 43);

export const host: HostView = { deviceName: 'h1', os: 'linux', osVersion: '12', arch: 'x64', machineType: 'vm' };

export const emptyMirror: Mirror = {
  gateway: null,
  configuration: null,
  credentials: [],
  permissions: { connections: 'off', tunneling: 'off', rotation: 'off', recording: 'off' },
};

export function sealedPart(rev: number, text = 'sealed'): { rev: number; gen: number; envelope: string } {
  return { rev, gen: 1, envelope: word(`${text}-${rev}`, 32) };
}

export function application(text = 'app'): WriteItem {
  const app = appUid(text);
  return {
    uid: app as string as ItemUid,
    app,
    type: 'application',
    mirror: emptyMirror,
    parts: { facts: sealedPart(1) },
  };
}

export function record(text: string, change: Partial<WriteItem> = {}): WriteItem {
  const parts = { facts: sealedPart(1) };
  return { uid: itemUid(text), app: appUid(), type: 'pamMachine', mirror: emptyMirror, parts, ...change };
}

export function wrap(recipient: string, change: Partial<KeyWrap> = {}): KeyWrap {
  return {
    app: appUid(),
    part: 'facts',
    gen: 1,
    recipient: hash(recipient),
    wrap: word(`wrap-${recipient}`, 32),
    ...change,
  };
}

export function person(text = 'anna', change: Partial<Person> = {}): Person {
  return {
    uid: personUid(text),
    name: text,
    credentialId: `credential-${text}`,
    registrationRecord: 'r'.repeat(64),
    ksf: 1,
    blob: 'b'.repeat(32),
    recoveryLookup: `lookup-${text}`,
    recoveryBlob: 'c'.repeat(32),
    ...change,
  };
}

export function join(text: string): {
  gateway: GatewayUid;
  instance: InstanceId;
  noStandby: boolean;
  host: HostView;
  version: string;
  address: string;
  nowMs: number;
} {
  return {
    gateway: gatewayUid(),
    instance: instanceId(text),
    noStandby: false,
    host,
    version: '0.1.0',
    address: '127.0.0.1',
    nowMs: testNowMs,
  };
}
