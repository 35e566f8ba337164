import { beginRecovery, finishRecovery, PamError, signInNameSchema } from '@sallyport/protocol';
import {
  createLog,
  digestOf,
  finishRegistration,
  importBoxKey,
  importSigningKey,
  ksfVersion,
  newAccountSecret,
  newRecoveryCode,
  openRecoveryBlob,
  parseRecoveryCode,
  recoveryLookup,
  sealPersonBlob,
  sealRecoveryBlob,
  signEntry,
  signRecoveryProof,
  startRegistration,
} from '@sallyport/seal';
import { z } from 'zod';
import { defaultRouterPort, formatAddress, parseAddress } from '../api/address.ts';
import type { Run } from '../cli.ts';
import { argument, readFlags } from '../flags.ts';
import { defaultDeviceLabel, newDevice } from '../person/device.ts';
import { deviceEntry, profileTaken, saveSignIn, targetProfile } from '../person/enrol.ts';
import { checkKitCanBeSaved, readKit, saveKit } from '../person/kit.ts';
import { askNewPassword } from '../person/password.ts';
import { reachRouter } from '../person/reach-router.ts';
import { signInMinutes } from '../person/sign-in-life.ts';
import { jitter } from '../person/signed-in.ts';
import { withProgress } from '../terminal/progress.ts';
import { nowSeconds } from '../time/clock.ts';
import { openTrustLog } from '../vault/trust-log.ts';

const flagsSchema = z.object({
  kit: z.string().optional(),
  passwordStdin: z.boolean().default(false),
  saveKit: z.string().optional(),
  deviceLabel: z.string().min(1).max(64).optional(),
});

/**
 * `pam recover HOST:PORT NAME`: the recovery code of the paper kit opens the person's keys once; this device becomes a
 * device of that person, with a new password, account secret and recovery code. The old ones open nothing afterwards.
 */
export const run: Run = async (cli, args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const address = parseAddress(argument(args, 0), defaultRouterPort);
  const name = signInNameSchema.parse(argument(args, 1).toLowerCase());
  const { store, existing } = await targetProfile(cli);
  if (existing !== null && existing.person.name !== name) throw profileTaken(store, existing);
  const kit = flags.kit === undefined ? null : await readKit(flags.kit);
  await checkKitCanBeSaved(cli.terminal, flags.saveKit);
  const reached = await reachRouter(cli, address, existing?.pins ?? kit?.router_pins ?? null);
  if (kit === null && !cli.terminal.interactive) {
    throw new PamError('PAM_USAGE', 'the recovery code is needed', { remedy: 'Give --kit FILE, or use a terminal.' });
  }
  const code = await parseRecoveryCode(
    kit?.recovery_code ?? (await cli.terminal.askSecret('Recovery code (from the paper kit)')),
  );
  const password = await askNewPassword(cli.terminal, flags.passwordStdin);

  const { registrationRequest, clientState } = await startRegistration(password);
  const lookup = await recoveryLookup(code);
  const begun = await withProgress(cli, 'asking for the sealed keys', async () =>
    reached.client.call(beginRecovery, { body: { lookup, registrationRequest } }),
  );
  const blob = await openRecoveryBlob(begun.blob, code);
  if (blob.personUid !== begun.person || blob.name !== name) {
    throw new PamError('PAM_RECOVERY_FAILED', `the recovery code belongs to ${blob.name}, not to ${name}`);
  }
  if (existing !== null && existing.anchor !== blob.anchor) throw profileTaken(store, existing);
  const { registrationRecord, exportKey } = await finishRegistration({
    password,
    clientState,
    registrationResponse: begun.registrationResponse,
  });
  const person = {
    uid: blob.personUid,
    name,
    signKey: await importSigningKey(blob.signKey),
    boxKey: await importBoxKey(blob.boxKey),
  };
  const device = await newDevice(flags.deviceLabel ?? defaultDeviceLabel());
  const [accountSecret, recoveryCode] = [await newAccountSecret(), await newRecoveryCode()];
  await saveKit(
    cli.terminal,
    {
      sallyport_kit: 1,
      router: formatAddress(address),
      router_pins: [reached.transport.seenPin() ?? ''],
      name,
      account_secret: accountSecret,
      recovery_code: recoveryCode,
      recovery_key: null,
      anchor: blob.anchor,
      floor: blob.floor,
      made_on: new Date(cli.clock.nowMs()).toISOString(),
    },
    flags.saveKit,
  );
  const unverified = { ...createLog(blob.anchor), head: begun.head };
  const body = {
    lookup,
    registrationRecord,
    ksf: ksfVersion,
    personBlob: await sealPersonBlob(blob, exportKey, accountSecret),
    recovery: { lookup: await recoveryLookup(recoveryCode), blob: await sealRecoveryBlob(blob, recoveryCode) },
    entry: await signEntry(unverified, deviceEntry(person.uid, device), person.signKey, nowSeconds(cli.clock)),
    lifeMinutes: signInMinutes,
  } as const;
  const proof = await signRecoveryProof({ lookup, digest: await digestOf(body) }, person.signKey);
  const token = await reached.clientFor(device.key, null).call(finishRecovery, { body: { ...body, proof } });

  const client = reached.clientFor(device.key, token.accessToken);
  const log = await openTrustLog({
    client,
    store,
    clock: cli.clock,
    signal: cli.signal,
    jitter,
    anchor: blob.anchor,
    floor: blob.floor,
  });
  const state = await log.sync();
  const pin = reached.transport.seenPin();
  if (pin === null || !state.routerPins.includes(pin)) {
    throw new PamError(
      'PAM_ROUTER_IMPOSTOR',
      `the trust log does not name the key of the server at ${formatAddress(address)}`,
    );
  }
  await saveSignIn(cli, store, {
    profile: {
      router: formatAddress(address),
      pins: state.routerPins,
      anchor: blob.anchor,
      floor: { n: state.head.n, hash: state.head.hash },
    },
    entries: log.entries(),
    device,
    accountSecret,
    person,
    token,
  });
  reached.transport.close();
  cli.terminal.err(
    `The account of ${name} has a new password, account secret and recovery code; the old ones open nothing.\n`,
  );
  return undefined;
};
