import { type ItemUid, PamError, recordTypes, type Script, scriptSchema, type UserFacts } from '@sallyport/protocol';
import { signScript } from '@sallyport/seal';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { readWhole } from '../gateway/gateway-flags.ts';
import { findHolder, type Holder, scriptJson, scriptsOf, writeScripts } from '../rotation/script-holder.ts';
import { resourceOf } from '../rotation/rotated-record.ts';
import { findPlace, machineOf, type SignedPlace } from '../rotation/script-place.ts';
import { readScriptText } from '../rotation/script-text.ts';
import { showJson } from '../terminal/show.ts';
import { nowSeconds } from '../time/clock.ts';
import { findItem } from '../vault/find-item.ts';
import { openVaultSession, type VaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({
  record: z.string(),
  name: z.string().min(1).max(128),
  file: z.string(),
  on: z.enum(['gateway', 'target']).default('gateway'),
  machine: z.string().optional(),
  as: z.string().optional(),
  command: z.array(z.string().min(1).max(1_024)).max(16).default([]),
  withRecord: z.array(z.string()).max(8).default([]),
  timeout: z.string().default('60'),
});
type Flags = z.infer<typeof flagsSchema>;

/** `pam rotation script-add`: attaches a script, signed by this device, which must be able to manage gateways. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  if (flags.on === 'gateway' && (flags.machine !== undefined || flags.as !== undefined)) {
    throw new PamError('PAM_USAGE', '--machine and --as go with --on target', { remedy: 'Add --on target.' });
  }
  const timeoutSeconds = readWhole('--timeout', flags.timeout, 1, 600);
  const body = await readScriptText(flags.file, flags.command);
  const session = await openVaultSession(cli);
  try {
    const holder = await findHolder(session, flags.record);
    const before = scriptsOf(holder);
    if (before.some((one) => one.name === flags.name)) {
      throw new PamError('PAM_CONFLICT', `“${holder.title}” has a script “${flags.name}” already`, {
        remedy: `Give it another text: pam rotation script-edit -r ${holder.uid} -n ${JSON.stringify(flags.name)} --file ${JSON.stringify(flags.file)}.`,
      });
    }
    const records: ItemUid[] = [];
    for (const name of flags.withRecord) {
      records.push((await findItem(session.vault, 'record', name, recordTypes)).uid);
    }
    const where = flags.on === 'target' ? await placeOf(session, holder, flags) : {};
    if (flags.on === 'target' && where.machine === undefined && records.length > 0) {
      throw new PamError('PAM_USAGE', '--with-record: records are given only on a machine that is named', {
        remedy: 'Add --machine RECORD.',
      });
    }
    const draft = {
      name: flags.name,
      on: flags.on,
      ...where,
      command: flags.command,
      body,
      records,
      timeoutSeconds,
      enabled: true,
    };
    const place = { app: holder.app, holder: holder.uid };
    const signed = await signScript(draft, place, session.device.key, nowSeconds(cli.clock));
    const script: Script = scriptSchema.parse({ ...draft, signed });
    await writeScripts(session, holder, [...before, script]);
    if (cli.format === 'json') showJson(cli.terminal, scriptJson(script, holder.uid));
    else
      cli.terminal.err(
        `“${script.name}” runs after each rotation, on the ${script.on === 'gateway' ? 'gateway’s host' : 'target'}.\n`,
      );
    return undefined;
  } finally {
    session.close();
  }
};

/** A script of a user runs on its resource, one of a machine on that machine, if nothing else is said. */
async function placeOf(session: VaultSession, holder: Holder, flags: Flags): Promise<SignedPlace> {
  const { rotation } = holder.type === 'pamUser' ? (holder.facts as UserFacts) : {};
  const own = rotation?.resource ? await resourceOf(session.vault, rotation.resource) : holder;
  const machine = machineOf(own);
  if (machine === null && holder.type === 'pamUser' && flags.machine === undefined) {
    throw new PamError('PAM_USAGE', `the account of “${holder.title}” is on no machine that could be logged in to`, {
      remedy: 'Say where the script runs: --machine RECORD.',
    });
  }
  return findPlace(session, holder.app, flags, machine);
}
