import { appendLog, beginSignIn, finishSignIn, PamError, signInNameSchema } from '@sallyport/protocol';
import {
  finishSignIn as finishOpaque,
  importBoxKey,
  importSigningKey,
  type LogState,
  openPersonBlob,
  parseAccountSecret,
  type PersonBlob,
  startSignIn,
} from '@sallyport/seal';
import { z } from 'zod';
import { defaultRouterPort, formatAddress, parseAddress } from '../api/address.ts';
import { createLogGiver } from '../api/give-back-log.ts';
import type { RouterClient } from '../api/router-client.ts';
import type { Cli, Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { type Device, defaultDeviceLabel, fromDeviceFile, newDevice, restingAccountSecret } from '../person/device.ts';
import { deviceEntry, profileTaken, saveSignIn, targetProfile } from '../person/enrol.ts';
import { type Kit, readKit } from '../person/kit.ts';
import { askPassword } from '../person/password.ts';
import { reachRouter } from '../person/reach-router.ts';
import { lifeMinutes } from '../person/sign-in-life.ts';
import { jitter, type PersonKeyPair } from '../person/signed-in.ts';
import { newMemory } from '../profile/memory.ts';
import type { DeviceFile, Profile } from '../profile/profile-store.ts';
import { withProgress } from '../terminal/progress.ts';
import { showJson } from '../terminal/show.ts';
import { openTrustLog } from '../vault/trust-log.ts';

const flagsSchema = z.object({
  kit: z.string().optional(),
  passwordStdin: z.boolean().default(false),
  for: z.string().optional(),
  deviceLabel: z.string().min(1).max(64).optional(),
});

/**
 * `pam login [HOST:PORT NAME]`: signs in; on a new device also with the account secret, and signs the device into the
 * trust log.
 *
 * The router's key is compared before anything is sent when a pin is known (from the profile or the kit). Without one
 * the first key seen is kept and compared with the trust log, whose anchor came out of the person's own sealed keys;
 * until then only OPAQUE messages were sent, which tell a stranger nothing.
 */
export const run: Run = async (cli, args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const minutes = lifeMinutes(flags.for);
  const { store, existing } = await targetProfile(cli);
  const kit = flags.kit === undefined ? null : await readKit(flags.kit);
  const who = whom(args, existing, kit);
  if (existing !== null && existing.person.name !== who.name) throw profileTaken(store, existing);
  const deviceFile = await store.readDevice();
  const reached = await reachRouter(cli, who.address, existing?.pins ?? kit?.router_pins ?? null);
  if (!reached.claimed)
    throw new PamError('PAM_ROUTER_NOT_CLAIMED', `the router at ${formatAddress(who.address)} has no owner yet`);
  const password = await askPassword(cli.terminal, flags.passwordStdin);
  const device =
    deviceFile === null ? await newDevice(flags.deviceLabel ?? defaultDeviceLabel()) : await fromDeviceFile(deviceFile);

  const signedIn = await withProgress(cli, 'signing in', async () => {
    const { startLoginRequest, clientState } = await startSignIn(password);
    const begun = await reached.client.call(beginSignIn, { body: { name: who.name, startLoginRequest } });
    const done = await finishOpaque({ password, clientState, loginResponse: begun.loginResponse });
    const reply = await reached.clientFor(device.key, null).call(finishSignIn, {
      body: { attempt: begun.attempt, finishLoginRequest: done.finishLoginRequest, lifeMinutes: minutes },
    });
    return { reply, exportKey: done.exportKey };
  });
  const accountSecret = await parseAccountSecret(await findAccountSecret(cli, kit, deviceFile));
  const blob = await openPersonBlob(signedIn.reply.personBlob, signedIn.exportKey, accountSecret);
  if (blob.personUid !== signedIn.reply.person || blob.name !== who.name) {
    throw new PamError('PAM_SIGN_IN_FAILED', 'the router answered with the keys of somebody else');
  }
  if (existing !== null && existing.anchor !== blob.anchor) throw profileTaken(store, existing);

  const client = reached.clientFor(device.key, signedIn.reply.accessToken);
  const person = await personOf(blob);
  const { entries, log } = await enrolDevice(cli, client, { blob, person, device, store, existing });
  const pin = reached.transport.seenPin();
  if (pin === null || !log.routerPins.includes(pin)) {
    throw new PamError(
      'PAM_ROUTER_IMPOSTOR',
      `the trust log does not name the key of the server at ${formatAddress(who.address)}`,
    );
  }
  await saveSignIn(cli, store, {
    profile: {
      router: formatAddress(who.address),
      pins: log.routerPins,
      anchor: blob.anchor,
      floor: { n: log.head.n, hash: log.head.hash },
    },
    entries,
    device,
    accountSecret,
    person,
    token: signedIn.reply,
  });
  reached.transport.close();
  const until = new Date(signedIn.reply.expiresAtMs).toISOString();
  if (cli.format === 'json') {
    showJson(cli.terminal, { profile: store.name, name: who.name, device_id: device.key.id, signed_in_until: until });
  } else
    cli.terminal.err(
      `Signed in as ${who.name} at ${formatAddress(who.address)} until ${until} (profile ${store.name}).\n`,
    );
  return undefined;
};

function whom(args: readonly string[], existing: Profile | null, kit: Kit | null) {
  const router = args[0] ?? existing?.router ?? kit?.router;
  const name = args[1] ?? existing?.person.name ?? kit?.name;
  if (router === undefined || name === undefined) {
    throw new PamError('PAM_USAGE', 'say where and as whom: pam login HOST:PORT NAME');
  }
  const parsed = signInNameSchema.safeParse(name.toLowerCase());
  if (!parsed.success) throw new PamError('PAM_USAGE', `“${name}” is not a sign-in name`);
  return { address: parseAddress(router, defaultRouterPort), name: parsed.data };
}

async function findAccountSecret(cli: Cli, kit: Kit | null, deviceFile: DeviceFile | null): Promise<string> {
  if (kit !== null) return kit.account_secret;
  if (deviceFile !== null) return restingAccountSecret(deviceFile);
  const secondLine = cli.terminal.interactive ? undefined : (await cli.terminal.readInput(65_536)).split(/\r?\n/)[1];
  if (secondLine !== undefined && secondLine !== '') return secondLine;
  if (cli.terminal.interactive)
    return cli.terminal.askSecret('This device is new: account secret (from the paper kit)');
  throw new PamError('PAM_USAGE', 'this device is new: it needs the account secret', {
    remedy: 'Give --kit FILE, or the account secret as the second line of standard input.',
  });
}

async function personOf(blob: PersonBlob): Promise<PersonKeyPair> {
  return {
    uid: blob.personUid,
    name: blob.name,
    signKey: await importSigningKey(blob.signKey),
    boxKey: await importBoxKey(blob.boxKey),
  };
}

/** Reads and verifies the log from the anchor in the person's own keys, and adds this device when it is not in it. */
async function enrolDevice(
  cli: Cli,
  client: RouterClient,
  who: {
    readonly blob: PersonBlob;
    readonly person: PersonKeyPair;
    readonly device: Device;
    readonly store: Awaited<ReturnType<typeof targetProfile>>['store'];
    readonly existing: Profile | null;
  },
): Promise<{ readonly entries: readonly string[]; readonly log: LogState }> {
  const { blob, device, store } = who;
  const remembered = who.existing === null ? null : (await store.readMemory()).logHead;
  const kept: string[] = who.existing === null ? [] : [...(await store.readLog())];
  const log = await openTrustLog({
    client,
    store: {
      readLog: async () => kept,
      keepLog: async () => undefined,
      readMemory: async () => ({ ...newMemory(), logHead: remembered }),
      remember: async () => newMemory(),
    },
    clock: cli.clock,
    signal: cli.signal,
    jitter,
    anchor: blob.anchor,
    floor: blob.floor,
    giver: createLogGiver({
      client: () => client,
      store: { readLog: async () => kept },
      anchor: blob.anchor,
      clock: cli.clock,
      tell: cli.terminal.err,
    }),
  });
  const state = await log.sync();
  const known = state.devices.get(device.key.id);
  if (known === undefined) {
    await log.append([deviceEntry(blob.personUid, device)], who.person.signKey, async ([entry = '']) =>
      client.call(appendLog, { body: { entry } }),
    );
  } else if (known.removed) {
    throw new PamError('PAM_DEVICE_UNKNOWN', 'this device was removed from the trust log', {
      remedy: 'Run pam logout, which forgets its key, then pam login as a new device.',
    });
  }
  return { entries: log.entries(), log: log.state() };
}
