import { type ErrorDetail, PamError, permissionNames, type RecordType, recordTypes } from '@sallyport/protocol';
import { generatePassword } from '@sallyport/rotation';
import { z } from 'zod';
import type { Cli } from '../cli.ts';
import { readText } from '../profile/file-store.ts';
import { passwordFromInput } from '../person/password.ts';
import { type RecordInput, isField, isSecretName, readRecordInput } from './record-input.ts';

const onOffDefault = z.enum(['on', 'off', 'default']);
const list = z.array(z.string().max(2_048)).max(64);

/** Flags that `record new` and `record edit` share. */
export const recordFlagsSchema = z.object({
  name: z.string().optional(),
  title: z.string().optional(),
  config: z.string().optional(),
  host: z.string().optional(),
  port: z.string().optional(),
  serverIdentity: z.string().optional(),
  allowSupplyHost: z.enum(['on', 'off']).optional(),
  connections: onOffDefault.optional(),
  tunneling: onOffDefault.optional(),
  rotation: onOffDefault.optional(),
  recording: onOffDefault.optional(),
  credential: list.optional(),
  login: z.string().optional(),
  field: list.optional(),
  tag: list.optional(),
  notes: z.string().optional(),
  passwordStdin: z.boolean().default(false),
  generate: z.boolean().default(false),
  from: z.string().optional(),
});
export type RecordFlags = z.infer<typeof recordFlagsSchema>;

/** Bytes of JSON read from a file or standard input for one record. */
const recordLimitBytes = 131_072;

/** A record type as people write it. PAM_USAGE listing them. */
export function readRecordType(text: string): RecordType {
  const type = recordTypes.find((one) => one.toLowerCase() === text.toLowerCase());
  if (type !== undefined) return type;
  throw new PamError('PAM_USAGE', `“${text}” is no record type; there are ${recordTypes.join(', ')}`);
}

/** Port of a flag, 1 to 65535. PAM_USAGE. */
export function readPort(flag: string, text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new PamError('PAM_USAGE', `${flag}: “${text}” is not a port from 1 to 65535`);
}

/** Puts flags on top of the JSON of `--from`. Secrets never come from arguments. PAM_USAGE. */
export async function inputFromFlags(cli: Cli, type: RecordType, flags: RecordFlags): Promise<RecordInput> {
  const base = flags.from === undefined ? readRecordInput({}) : readRecordInput(await readJson(cli, flags.from));
  const fields: Record<string, unknown> = { ...base.fields };
  const custom: Record<string, string> = {};
  for (const pair of flags.field ?? []) {
    const at = pair.indexOf('=');
    if (at < 1) throw new PamError('PAM_USAGE', `--field: “${pair}” is not key=value`);
    const [key, value] = [pair.slice(0, at), pair.slice(at + 1)];
    if (isSecretName(key)) {
      throw new PamError('PAM_USAGE', `--field ${key}: secrets are never arguments`, {
        remedy: 'Use --password-stdin, or put it into the JSON of --from.',
      });
    }
    if (isField(type, key)) fields[key] = fieldValue(value);
    else custom[key] = value;
  }
  if (Object.keys(custom).length > 0) fields['custom'] = { ...(fields['custom'] as object | undefined), ...custom };
  if (flags.host !== undefined) fields['host'] = flags.host;
  if (flags.port !== undefined) fields['port'] = readPort('--port', flags.port);
  if (flags.serverIdentity !== undefined) fields['serverIdentity'] = flags.serverIdentity;
  if (flags.allowSupplyHost !== undefined) fields['allowSupplyHost'] = flags.allowSupplyHost === 'on';
  if (flags.login !== undefined) fields['login'] = flags.login;
  if (flags.tag !== undefined) fields['tags'] = flags.tag;
  if (flags.notes !== undefined) fields['notes'] = flags.notes;
  const title = flags.name ?? flags.title;
  const secrets = await secretsFromFlags(cli, type, flags, base.secrets);
  const permissions = { ...base.permissions };
  for (const name of permissionNames) {
    const value = flags[name];
    if (value !== undefined) permissions[name] = value;
  }
  return {
    ...base,
    fields,
    ...(title === undefined ? {} : { title }),
    ...(flags.config === undefined ? {} : { configuration: flags.config === '' ? null : flags.config }),
    ...(flags.credential === undefined ? {} : { credentials: flags.credential }),
    ...(Object.keys(permissions).length === 0 ? {} : { permissions }),
    ...(secrets === undefined ? {} : { secrets }),
  };
}

async function secretsFromFlags(
  cli: Cli,
  type: RecordType,
  flags: RecordFlags,
  base: RecordInput['secrets'],
): Promise<RecordInput['secrets']> {
  if (!flags.generate && !flags.passwordStdin) return base;
  if (type !== 'pamUser')
    throw new PamError('PAM_USAGE', `a ${type} has no password: make a pamUser and link it with --credential`);
  if (flags.generate && flags.passwordStdin)
    throw new PamError('PAM_USAGE', '--generate and --password-stdin exclude each other');
  if (flags.passwordStdin && flags.from === '-')
    throw new PamError('PAM_USAGE', '--password-stdin and --from - both want standard input');
  return { ...base, password: flags.generate ? drawPassword() : await passwordFromInput(cli.terminal) };
}

/** Text that looks like a boolean, a number or a list becomes one; the schema of the type decides whether it fits. */
function fieldValue(text: string): unknown {
  if (/^(true|false|-?\d{1,10})$/.test(text) || /^\[.*\]$/s.test(text)) {
    try {
      return JSON.parse(text);
    } catch (reason) {
      if (reason instanceof SyntaxError) return text;
      throw reason;
    }
  }
  return text;
}

async function readJson(cli: Cli, file: string): Promise<unknown> {
  const text = file === '-' ? await cli.terminal.readInput(recordLimitBytes) : await readText(file, recordLimitBytes);
  const detail: ErrorDetail = { file };
  if (text === null)
    throw new PamError('PAM_NOT_FOUND', `there is no file ${file}`, { detail, remedy: 'Check the path.' });
  try {
    return JSON.parse(text);
  } catch (reason) {
    const what = file === '-' ? 'standard input' : file;
    throw new PamError(
      'PAM_USAGE',
      `${what} is not JSON: ${reason instanceof Error ? reason.message.split('\n')[0] : ''}`,
      { detail },
    );
  }
}

/** 24 characters with a capital, a small letter, a digit and a sign; none that are easily confused. */
const readable = { length: 24, upper: 1, lower: 1, digits: 1, symbols: 1, specials: '-_.+=@%' };
const lookAlikes = { minLength: 1, maxLength: 256, forbidden: 'IOl01', significant: null };

/** A password that people can read aloud, about 145 bits. */
export function drawPassword(): string {
  const drawn = generatePassword(readable, lookAlikes, (length) => crypto.getRandomValues(new Uint8Array(length)));
  if (drawn.ok) return drawn.password.reveal();
  throw new PamError('PAM_INTERNAL', `no password can be drawn: ${drawn.why}`);
}
