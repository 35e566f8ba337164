import { hostname, userInfo } from 'node:os';
import { Buffer } from 'node:buffer';
import { deviceIdSchema, PamError } from '@sallyport/protocol';
import {
  exportPrivate,
  newSigningKey,
  newSymmetricKey,
  openAtRest,
  sealAtRest,
  type SigningKey,
} from '@sallyport/seal';
import type { DeviceFile } from '../profile/profile-store.ts';

/** A device as it works: its key and the secret that seals what rests in the profile. */
export interface Device {
  readonly key: SigningKey;
  readonly label: string;
  readonly rest: Uint8Array;
}

/** `user@host`, at most 64 characters: what `pam device list` shows for this machine. */
export function defaultDeviceLabel(): string {
  return `${userInfo().username}@${hostname()}`.slice(0, 64);
}

/** Draws the keys of a device. */
export async function newDevice(label: string): Promise<Device> {
  if (label.length < 1 || label.length > 64) throw new PamError('PAM_USAGE', 'a device label has 1 to 64 characters');
  return { key: await newSigningKey(), label, rest: newSymmetricKey() };
}

const secretPurpose = 'sallyport-account-secret';

/** What the profile keeps of a device; the account secret is sealed to it. */
export async function toDeviceFile(device: Device, accountSecret: string): Promise<DeviceFile> {
  return {
    v: 1,
    id: deviceIdSchema.parse(device.key.id),
    label: device.label,
    key: await exportPrivate(device.key),
    rest: Buffer.from(device.rest).toString('base64url'),
    accountSecret: await sealAtRest(secretPurpose, accountSecret, device.rest),
  };
}

export async function fromDeviceFile(file: DeviceFile): Promise<Device> {
  const { importSigningKey } = await import('@sallyport/seal');
  return { key: await importSigningKey(file.key), label: file.label, rest: Buffer.from(file.rest, 'base64url') };
}

/** The account secret that rests on this device. */
export async function restingAccountSecret(file: DeviceFile): Promise<string> {
  const secret = await openAtRest(secretPurpose, file.accountSecret, Buffer.from(file.rest, 'base64url'));
  if (typeof secret === 'string') return secret;
  throw new PamError('PAM_CONFIG_INVALID', 'the device file holds no account secret');
}
