import { beginSetup, finishSetup, PamError, personUidSchema, signInNameSchema } from '@sallyport/protocol';
import {
  createLog,
  entryHash,
  exportPrivate,
  finishRegistration,
  foldLog,
  ksfVersion,
  newAccountSecret,
  newBoxKey,
  newRecoveryCode,
  newSigningKey,
  type PersonBlob,
  parseSetupCode,
  recoveryLookup,
  sealPersonBlob,
  sealRecoveryBlob,
  signEntry,
  startRegistration,
} from '@sallyport/seal';
import { z } from 'zod';
import { defaultRouterPort, formatAddress, parseAddress } from '../api/address.ts';
import type { Cli, Run } from '../cli.ts';
import { argument, readFlags } from '../flags.ts';
import { defaultDeviceLabel, newDevice } from '../person/device.ts';
import { deviceEntry, profileTaken, saveSignIn, targetProfile } from '../person/enrol.ts';
import { checkKitCanBeSaved, saveKit } from '../person/kit.ts';
import { askNewPassword } from '../person/password.ts';
import { reachRouter } from '../person/reach-router.ts';
import { showJson } from '../terminal/show.ts';
import { withProgress } from '../terminal/progress.ts';
import { nowSeconds } from '../time/clock.ts';
import { freshUid } from '../vault/vault.ts';
import { signInMinutes } from '../person/sign-in-life.ts';

const flagsSchema = z.object({
  name: z.string().optional(),
  passwordStdin: z.boolean().default(false),
  saveKit: z.string().optional(),
  deviceLabel: z.string().min(1).max(64).optional(),
});

/**
 * `pam setup HOST:PORT CODE`: claims a new router. The code carries the pin of the router's key, which is compared
 * before anything is sent. All keys are made here; the router stores a password record and sealed blobs.
 */
export const run: Run = async (cli, args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const address = parseAddress(argument(args, 0), defaultRouterPort);
  const { secret, pin } = await parseSetupCode(argument(args, 1));
  const { store, existing } = await targetProfile(cli);
  if (existing !== null) throw profileTaken(store, existing);
  await checkKitCanBeSaved(cli.terminal, flags.saveKit);
  const reached = await reachRouter(cli, address, [pin]);
  if (reached.claimed)
    throw new PamError('PAM_ROUTER_CLAIMED', `the router at ${formatAddress(address)} has an owner already`);
  const name = await chosenName(cli, flags.name);
  const password = await askNewPassword(cli.terminal, flags.passwordStdin);

  const made = await withProgress(cli, 'making keys', async () => {
    const { registrationRequest, clientState } = await startRegistration(password);
    const begun = await reached.client.call(beginSetup, { body: { secret, name, registrationRequest } });
    if (begun.routerPin !== pin) {
      throw new PamError('PAM_ROUTER_IMPOSTOR', 'the router names another key than the one it was reached by');
    }
    const { registrationRecord, exportKey } = await finishRegistration({
      password,
      clientState,
      registrationResponse: begun.registrationResponse,
    });
    const [signKey, boxKey, recoveryKey] = [await newSigningKey(), await newBoxKey(), await newBoxKey()];
    const uid = personUidSchema.parse(freshUid());
    const person = { uid, name, signKey, boxKey };
    const device = await newDevice(flags.deviceLabel ?? defaultDeviceLabel());
    const at = nowSeconds(cli.clock);
    const genesis = await signEntry(
      createLog(''),
      {
        kind: 'genesis',
        installation: freshUid(),
        person: { uid, name, signKey: signKey.publicJwk, boxKey: boxKey.publicJwk },
        recoveryKey: recoveryKey.publicJwk,
        routerPins: [pin],
      },
      signKey,
      at,
    );
    const anchor = await entryHash(genesis);
    const first = await foldLog(createLog(anchor), [genesis]);
    const second = await signEntry(first, deviceEntry(uid, device), signKey, at);
    const log = await foldLog(first, [second]);
    const [accountSecret, recoveryCode] = [await newAccountSecret(), await newRecoveryCode()];
    const blob: PersonBlob = {
      v: 1,
      personUid: uid,
      name,
      signKey: await exportPrivate(signKey),
      boxKey: await exportPrivate(boxKey),
      anchor,
      floor: { n: log.head.n, hash: log.head.hash },
    };
    return {
      ...{
        registrationRecord,
        exportKey,
        person,
        device,
        entries: [genesis, second],
        blob,
        accountSecret,
        recoveryCode,
      },
      recoveryKey: (await exportPrivate(recoveryKey)).d,
    };
  });

  await saveKit(
    cli.terminal,
    {
      sallyport_kit: 1,
      router: formatAddress(address),
      router_pins: [pin],
      name,
      account_secret: made.accountSecret,
      recovery_code: made.recoveryCode,
      recovery_key: made.recoveryKey,
      anchor: made.blob.anchor,
      floor: made.blob.floor,
      made_on: new Date(cli.clock.nowMs()).toISOString(),
    },
    flags.saveKit,
  );
  const token = await reached.clientFor(made.device.key, null).call(finishSetup, {
    body: {
      secret,
      name,
      registrationRecord: made.registrationRecord,
      ksf: ksfVersion,
      personBlob: await sealPersonBlob(made.blob, made.exportKey, made.accountSecret),
      recovery: {
        lookup: await recoveryLookup(made.recoveryCode),
        blob: await sealRecoveryBlob(made.blob, made.recoveryCode),
      },
      entries: made.entries,
      lifeMinutes: signInMinutes,
    },
  });
  await saveSignIn(cli, store, {
    profile: { router: formatAddress(address), pins: [pin], anchor: made.blob.anchor, floor: made.blob.floor },
    entries: made.entries,
    device: made.device,
    accountSecret: made.accountSecret,
    person: made.person,
    token,
  });
  reached.transport.close();
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      profile: store.name,
      router: formatAddress(address),
      person_uid: made.person.uid,
      name,
      device_id: made.device.key.id,
      anchor: made.blob.anchor,
      signed_in_until: new Date(token.expiresAtMs).toISOString(),
    });
  } else {
    cli.terminal.err(
      `The router at ${formatAddress(address)} is yours, ${name}. You are signed in until ${new Date(token.expiresAtMs).toISOString()}.\n`,
    );
    cli.terminal.err('Next: pam quickstart --target HOST:PORT, or pam app new NAME.\n');
  }
  return undefined;
};

async function chosenName(cli: Cli, flag: string | undefined): Promise<string> {
  if (flag === undefined && !cli.terminal.interactive)
    throw new PamError('PAM_USAGE', 'give your sign-in name with --name');
  const asked = (flag ?? (await cli.terminal.ask('Your sign-in name'))).trim().toLowerCase();
  const parsed = signInNameSchema.safeParse(asked);
  if (parsed.success) return parsed.data;
  throw new PamError(
    'PAM_USAGE',
    `“${asked}” cannot be a sign-in name: 1 to 64 letters, digits, dots, dashes, underscores, @`,
  );
}
