import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { PamError } from '@sallyport/protocol';
import { encodeJoinConfig, parseToken, tokenLookup } from '@sallyport/seal';
import { readReach } from '@sallyport/stream';
import { systemRuntime } from '../agent/index.ts';
import { writePrivateFile } from './private-file.ts';
import { redeem } from './redeem-token.ts';
import type { Settings } from './settings.ts';
import { defaultHome } from './state-folder.ts';
import { readAllStdin, writeError, writeLine } from './system-stdio.ts';

/**
 * `pam-gateway redeem TOKEN|-`: prints the join configuration, or writes it to a file only its owner can read, and tells
 * the router only then. A run that died in between can be repeated here: the redeemer's key is kept until the end.
 *
 * @returns the exit code.
 */
export async function runRedeem(
  argument: string | undefined,
  settings: Settings,
  environmentToken: string | undefined,
): Promise<number> {
  const given = argument ?? settings.text('token') ?? environmentToken;
  if (given === undefined)
    throw new PamError('PAM_USAGE', 'redeem needs HOST[:PORT]:TOKEN as argument, on stdin (-) or in SALLYPORT_TOKEN');
  const token = (given === '-' ? await readAllStdin() : given).trim();
  const lookup = await tokenLookup(parseToken(token).token);
  const keys = join(defaultHome(process.env), 'redeeming');
  await mkdir(keys, { recursive: true, mode: 0o700 });
  const keyFile = join(keys, `${lookup.slice(0, 22)}.json`);
  const reach = readReach(settings.text('proxy'), process.env);
  const redeemed = await redeem(token, keyFile, reach, systemRuntime.nowMs);
  const text = encodeJoinConfig(redeemed.config);
  const output = settings.text('output');
  if (output === undefined) writeLine(`${text}\n`);
  else await writePrivateFile(resolve(output), `${text}\n`);
  await redeemed.acknowledge();
  if (output !== undefined) writeError(`pam-gateway: the configuration is in ${resolve(output)}\n`);
  return 0;
}
