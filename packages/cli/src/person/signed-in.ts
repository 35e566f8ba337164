import { type PersonUid, PamError } from '@sallyport/protocol';
import {
  type BoxKey,
  exportPrivate,
  importBoxKey,
  importSigningKey,
  openAtRest,
  sealAtRest,
  type SigningKey,
} from '@sallyport/seal';
import { z } from 'zod';
import { type ActorChain, createActorChain } from '../api/actor-chain.ts';
import { parseAddress } from '../api/address.ts';
import { createLogGiver } from '../api/give-back-log.ts';
import { type HeadKeeper, keepHeads } from '../api/head-keeper.ts';
import { pinnedTransport } from '../api/pinned-transport.ts';
import { reachOf } from '../api/reach-of.ts';
import { createRouterClient, type RouterClient } from '../api/router-client.ts';
import type { Transport } from '../api/transport.ts';
import type { Cli } from '../cli.ts';
import { currentProfile } from '../profile/home.ts';
import { openProfileStore, type Profile, type ProfileStore, type SignInFile } from '../profile/profile-store.ts';
import { ageText } from '../terminal/show.ts';
import { openTrustLog, type TrustLog } from '../vault/trust-log.ts';
import { type Device, fromDeviceFile } from './device.ts';

/** The person's keys, open while a sign-in lasts. */
export interface PersonKeyPair {
  readonly uid: PersonUid;
  readonly name: string;
  readonly signKey: SigningKey;
  readonly boxKey: BoxKey;
}

/** Everything a signed-in command stands on. */
export interface SignedIn {
  readonly profile: Profile;
  readonly store: ProfileStore;
  readonly device: Device;
  readonly person: PersonKeyPair;
  readonly expiresAtMs: number;
  readonly client: RouterClient;
  readonly chain: ActorChain;
  readonly log: TrustLog;
  readonly heads: HeadKeeper;
}

/** The profile a command works with: asked for, else current, else `default`. */
export async function chosenProfileName(cli: Pick<Cli, 'home' | 'profileName'>): Promise<string> {
  return cli.profileName ?? (await currentProfile(cli.home)) ?? 'default';
}

/** Profile and its store. PAM_PROFILE_MISSING. */
export async function openProfile(cli: Cli): Promise<{ readonly store: ProfileStore; readonly profile: Profile }> {
  const name = await chosenProfileName(cli);
  const store = openProfileStore(cli.home, name, cli);
  const profile = await store.readProfile();
  if (profile !== null) return { store, profile };
  throw new PamError('PAM_PROFILE_MISSING', `there is no profile “${name}” in ${cli.home}`);
}

/**
 * Opens the profile's sign-in and brings the trust log up to date.
 *
 * PAM_PROFILE_MISSING, PAM_NOT_SIGNED_IN, and whatever the router or its log gives cause for.
 *
 * @param transport - for tests; else pinned TLS to the profile's router.
 */
export async function openSignedIn(cli: Cli, transport?: Transport): Promise<SignedIn> {
  const { store, profile } = await openProfile(cli);
  const [deviceFile, signIn] = [await store.readDevice(), await store.readSignIn()];
  if (deviceFile === null || signIn === null) {
    throw new PamError('PAM_NOT_SIGNED_IN', `nobody is signed in to profile “${store.name}”`, {
      remedy: `Run pam login ${profile.router} ${profile.person.name}.`,
    });
  }
  const lateMs = cli.clock.nowMs() - signIn.expiresAtMs;
  if (lateMs >= 0) {
    throw new PamError('PAM_NOT_SIGNED_IN', `the sign-in of ${profile.person.name} ended ${ageText(lateMs)} ago`, {
      remedy: 'Run pam login.',
    });
  }
  const device = await fromDeviceFile(deviceFile);
  const person = await unsealPersonKeys(signIn.keys, device.rest);
  const token = signIn.accessToken;
  const giver = createLogGiver({
    client: () => client,
    store,
    anchor: profile.anchor,
    clock: cli.clock,
    tell: cli.terminal.err,
  });
  const heads = await keepHeads({ store, pins: profile.pins, clock: cli.clock, giver });
  const client: RouterClient = createRouterClient({
    transport:
      transport ??
      pinnedTransport(parseAddress(profile.router), profile.pins, { clock: cli.clock, reach: reachOf(cli) }),
    clock: cli.clock,
    signal: cli.signal,
    jitter,
    device: { key: device.key, accessToken: () => token },
    watchHeads: heads.watch,
  });
  const log = await openTrustLog({
    client,
    store,
    clock: cli.clock,
    signal: cli.signal,
    jitter,
    anchor: profile.anchor,
    floor: profile.floor,
    giver,
  });
  await log.sync();
  const chain = createActorChain({
    client,
    store,
    device: device.key,
    clock: cli.clock,
    tell: cli.terminal.err,
  });
  return { profile, store, device, person, expiresAtMs: signIn.expiresAtMs, client, chain, log, heads };
}

/** A number in 0..1 from the secret source: good enough for spreading retries, and needs no other source of chance. */
export function jitter(): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) / 0xffff_ffff;
}

const keysPurpose = 'sallyport-person-keys';
const coordinate = z.string().length(43);
const jwkSchema = z.strictObject({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: coordinate,
  y: coordinate,
  d: coordinate,
});
const restingKeysSchema = z.strictObject({
  uid: z.string().length(22),
  name: z.string().max(64),
  signKey: jwkSchema,
  boxKey: jwkSchema,
});

/** Seals the person's keys to the device, for as long as a sign-in lasts. */
export async function sealSignIn(
  person: PersonKeyPair,
  device: Device,
  token: { readonly accessToken: string; readonly expiresAtMs: number },
): Promise<SignInFile> {
  const [sign, box] = [await exportPrivate(person.signKey), await exportPrivate(person.boxKey)];
  const value = { uid: person.uid, name: person.name, signKey: { ...sign }, boxKey: { ...box } };
  return {
    v: 1,
    accessToken: token.accessToken,
    expiresAtMs: token.expiresAtMs,
    keys: await sealAtRest(keysPurpose, value, device.rest),
  };
}

async function unsealPersonKeys(sealed: string, rest: Uint8Array): Promise<PersonKeyPair> {
  const keys = restingKeysSchema.parse(await openAtRest(keysPurpose, sealed, rest));
  return {
    uid: keys.uid as PersonUid,
    name: keys.name,
    signKey: await importSigningKey(keys.signKey),
    boxKey: await importBoxKey(keys.boxKey),
  };
}
