import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PamError } from '@sallyport/protocol';
import { decodeJoinConfig, encodeJoinConfig, type JoinConfig, parseToken, tokenLookup } from '@sallyport/seal';
import type { Reach } from '@sallyport/stream';
import { z } from 'zod';
import { parseJson, readSmallFile, writePrivateFile } from './private-file.ts';
import { redeem } from './redeem-token.ts';
import type { FolderWish } from './state-folder.ts';

const keptName = 'join.json';
const keptMaxBytes = 65_536;
const joinMaxBytes = 16_384;

/** Where a start finds its join configuration; the first that is given counts. */
export type JoinSource =
  | { readonly kind: 'text'; readonly text: string; readonly from: string }
  | { readonly kind: 'token'; readonly token: string; readonly lookup: string }
  | { readonly kind: 'kept' };

const keptSchema = z.strictObject({ lookup: z.string().max(64), config: z.string().max(32_768) });
type Kept = z.infer<typeof keptSchema>;

export interface JoinInputs {
  readonly configFile: string | undefined;
  readonly token: string | undefined;
  readonly environmentConfig: string | undefined;
  readonly environmentToken: string | undefined;
  readonly readStdin: () => Promise<string>;
}

/**
 * Picks the source: `--config-file`, `--token` (`-`: stdin), GATEWAY_CONFIG, SALLYPORT_TOKEN, then what the state
 * folder kept of an earlier token. @throws PAM_CONFIG_INVALID, PAM_TOKEN_INVALID.
 */
export async function pickJoinSource(inputs: JoinInputs): Promise<JoinSource> {
  const ofToken = async (text: string): Promise<JoinSource> => {
    const token = text.trim();
    return { kind: 'token', token, lookup: await tokenLookup(parseToken(token).token) };
  };
  if (inputs.configFile !== undefined) {
    const text = await readSmallFile(inputs.configFile, joinMaxBytes * 2);
    if (text === undefined) throw new PamError('PAM_CONFIG_INVALID', `there is no file ${inputs.configFile}`);
    return { kind: 'text', text, from: inputs.configFile };
  }
  if (inputs.token !== undefined) return ofToken(inputs.token === '-' ? await inputs.readStdin() : inputs.token);
  if (inputs.environmentConfig !== undefined)
    return { kind: 'text', text: inputs.environmentConfig, from: 'GATEWAY_CONFIG' };
  if (inputs.environmentToken !== undefined) return ofToken(inputs.environmentToken);
  return { kind: 'kept' };
}

async function readKept(folder: string): Promise<Kept | undefined> {
  const path = join(folder, keptName);
  const text = await readSmallFile(path, keptMaxBytes);
  if (text === undefined) return undefined;
  const kept = keptSchema.safeParse(parseJson(text));
  if (kept.success) return kept.data;
  throw new PamError('PAM_CONFIG_INVALID', `${path} is damaged`, { cause: kept.error });
}

/** Name of the token whose configuration a folder keeps; undefined when it keeps none that can be read. */
function keptLookup(folder: string): string | undefined {
  const path = join(folder, keptName);
  if (!existsSync(path)) return undefined;
  const kept = keptSchema.safeParse(parseJson(readFileSync(path, 'utf8')));
  return kept.success ? kept.data.lookup : '';
}

/** Which state folder suits a source: one that keeps this token's configuration, else one that keeps none. */
export function folderFor(source: JoinSource): FolderWish {
  const suits = (path: string): boolean => keptLookup(path) === undefined;
  if (source.kind === 'text') return { prefers: () => false, suits, onlyPreferred: false };
  if (source.kind === 'kept') return { prefers: (path) => !suits(path), suits, onlyPreferred: true };
  return { prefers: (path) => keptLookup(path) === source.lookup, suits, onlyPreferred: false };
}

export const noJoinSource = (): PamError =>
  new PamError('PAM_CONFIG_INVALID', 'no join configuration was given', {
    remedy: 'Set GATEWAY_CONFIG, or give --config-file FILE or --token HOST:TOKEN (pam gateway new prints them).',
  });

export interface ObtainedJoin {
  readonly config: JoinConfig;
  readonly from: string;
}

/**
 * Obtains the configuration; one that was redeemed is kept in the state folder (0600) before the router is told, so
 * that the next start of this folder needs no token.
 *
 * @throws PAM_JOIN_CONFIG_INVALID, the errors of `redeem`, PAM_CONFIG_INVALID when there is no source at all.
 */
export async function obtainJoin(
  source: JoinSource,
  folder: string,
  reach: Reach,
  nowMs: () => number,
): Promise<ObtainedJoin> {
  if (source.kind === 'text') return { config: await decodeJoinConfig(source.text), from: source.from };
  const kept = await readKept(folder);
  if (source.kind === 'kept') {
    if (kept !== undefined) return { config: await decodeJoinConfig(kept.config), from: join(folder, keptName) };
    throw noJoinSource();
  }
  if (kept?.lookup === source.lookup)
    return { config: await decodeJoinConfig(kept.config), from: join(folder, keptName) };
  const redeemed = await redeem(source.token, join(folder, 'redeem-key.json'), reach, nowMs);
  const keep: Kept = { lookup: redeemed.lookup, config: encodeJoinConfig(redeemed.config) };
  await writePrivateFile(join(folder, keptName), JSON.stringify(keep));
  await redeemed.acknowledge();
  return { config: redeemed.config, from: 'the one-time token' };
}
