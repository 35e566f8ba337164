import { deviceIdSchema, type Head, PamError, type PersonUid } from '@sallyport/protocol';
import type { LogEntryBody } from '@sallyport/seal';
import type { Cli } from '../cli.ts';
import { currentProfile, setCurrentProfile } from '../profile/home.ts';
import { openProfileStore, type Profile, type ProfileStore } from '../profile/profile-store.ts';
import { type Device, toDeviceFile } from './device.ts';
import { chosenProfileName, type PersonKeyPair, sealSignIn } from './signed-in.ts';

/** The log entry by which a person signs a device in. */
export function deviceEntry(person: PersonUid, device: Device): LogEntryBody {
  return {
    kind: 'device',
    person,
    device: { id: deviceIdSchema.parse(device.key.id), key: device.key.publicJwk, kind: 'cli', label: device.label },
  };
}

/** The profile a sign-in goes into, and what is there already. */
export async function targetProfile(
  cli: Cli,
): Promise<{ readonly store: ProfileStore; readonly existing: Profile | null }> {
  const store = openProfileStore(cli.home, await chosenProfileName(cli), cli);
  return { store, existing: await store.readProfile() };
}

/** PAM_PROFILE_EXISTS: a profile is never taken over by another router or person. */
export function profileTaken(store: ProfileStore, existing: Profile): PamError {
  return new PamError(
    'PAM_PROFILE_EXISTS',
    `profile “${store.name}” belongs to ${existing.person.name} at ${existing.router}`,
    { remedy: 'Give another name with --profile NAME; an existing profile is never overwritten.' },
  );
}

/**
 * Writes what a sign-in leaves in the profile. Keys first, `profile.json` before the token: a crash in between leaves a
 * profile that says it is not signed in. The profile becomes the current one when there is none.
 */
export async function saveSignIn(
  cli: Cli,
  store: ProfileStore,
  what: {
    readonly profile: {
      readonly router: string;
      readonly pins: readonly string[];
      readonly anchor: string;
      readonly floor: Head;
    };
    readonly entries: readonly string[];
    readonly device: Device;
    readonly accountSecret: string;
    readonly person: PersonKeyPair;
    readonly token: { readonly accessToken: string; readonly expiresAtMs: number };
  },
): Promise<void> {
  const { profile, device, person } = what;
  const signIn = await sealSignIn(person, device, what.token);
  await store.writeDevice(await toDeviceFile(device, what.accountSecret));
  await store.keepLog(what.entries);
  await store.writeProfile({
    v: 1,
    router: profile.router,
    pins: [...profile.pins],
    anchor: profile.anchor,
    floor: profile.floor,
    person: { uid: person.uid, name: person.name },
  });
  await store.remember({ logHead: profile.floor });
  await store.writeSignIn(signIn);
  if ((await currentProfile(cli.home)) === null) await setCurrentProfile(cli.home, store.name);
}
