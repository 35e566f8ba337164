import { hashSchema, headSchema, PamError, signInNameSchema } from '@sallyport/protocol';
import { z } from 'zod';
import { readText, refuseExisting, writeNew } from '../profile/file-store.ts';
import type { Terminal } from '../terminal/terminal.ts';

/** What belongs on paper: without it nobody, not even the router's operator, opens the vault. */
const kitSchema = z.strictObject({
  sallyport_kit: z.literal(1),
  router: z.string().min(3).max(300),
  router_pins: z.array(hashSchema).min(1).max(2),
  name: signInNameSchema,
  account_secret: z.string().min(16).max(128),
  recovery_code: z.string().min(16).max(128),
  /** Private half of the recovery key (base64url of 32 bytes); only the kit of setup has it. */
  recovery_key: hashSchema.nullable(),
  anchor: hashSchema,
  floor: headSchema,
  made_on: z.string().max(32),
});
export type Kit = z.infer<typeof kitSchema>;

/** Reads a kit that `--save-kit` wrote. PAM_CONFIG_INVALID. */
export async function readKit(path: string): Promise<Kit> {
  const text = await readText(path, 65_536);
  if (text === null)
    throw new PamError('PAM_NOT_FOUND', `there is no file ${path}`, { remedy: 'Give the file that --save-kit wrote.' });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (reason) {
    throw new PamError('PAM_CONFIG_INVALID', `${path} is not a kit: not JSON`, { cause: reason });
  }
  const parsed = kitSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new PamError(
    'PAM_CONFIG_INVALID',
    `${path} is not a kit: ${parsed.error.issues[0]?.path.join('.') ?? ''} is wrong`,
  );
}

/** Refuses at once what would fail at the end: nobody to show the kit to, or a file that exists. */
export async function checkKitCanBeSaved(terminal: Terminal, file: string | undefined): Promise<void> {
  if (file !== undefined) return refuseExisting(file);
  if (terminal.interactive) return;
  throw new PamError(
    'PAM_USAGE',
    'the account secret and the recovery code must be saved, and there is no terminal to show them on',
    {
      remedy: 'Give --save-kit FILE.',
    },
  );
}

/**
 * Saves the kit to a new file (0600), or shows it and asks four characters of each secret back. The command does not go
 * on before that.
 */
export async function saveKit(terminal: Terminal, kit: Kit, file: string | undefined): Promise<void> {
  if (file !== undefined) {
    await writeNew(file, `${JSON.stringify(kit, null, 2)}\n`);
    terminal.err(
      `The kit is in ${file} (readable by you only). Print it, keep it off this machine, then delete the file.\n`,
    );
    return;
  }
  terminal.err(kitText(kit));
  const secrets: readonly (readonly [string, string])[] = [
    ['account secret', kit.account_secret],
    ['recovery code', kit.recovery_code],
    ...(kit.recovery_key === null ? [] : ([['recovery key', kit.recovery_key]] as const)),
  ];
  for (const [name, secret] of secrets) await askBack(terminal, name, secret, name !== 'recovery key');
}

function kitText(kit: Kit): string {
  const lines = [
    '',
    'Write these down, on paper, before you go on. Nobody can show them again.',
    '',
    `  Router          ${kit.router}`,
    `  Name            ${kit.name}`,
    `  Account secret  ${kit.account_secret}`,
    `  Recovery code   ${kit.recovery_code}`,
    ...(kit.recovery_key === null ? [] : [`  Recovery key    ${kit.recovery_key}`]),
    '',
    'The account secret is asked for on every new device. The recovery code sets a new password, once.',
    ...(kit.recovery_key === null ? [] : ['The recovery key opens every application: keep it apart from the rest.']),
    '',
    '',
  ];
  return lines.join('\n');
}

async function askBack(terminal: Terminal, name: string, secret: string, grouped: boolean): Promise<void> {
  const letters = grouped ? secret.replaceAll('-', '') : secret;
  for (;;) {
    const place = Math.floor(((crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) / 2 ** 32) * (letters.length - 3));
    const wanted = letters.slice(place, place + 4);
    const answer = await terminal.ask(
      `${name}: type characters ${place + 1} to ${place + 4}${grouped ? ' (dashes do not count)' : ''}`,
    );
    if (answer.trim().toUpperCase() === wanted.toUpperCase()) return;
    terminal.err(`That is not what stands there. Look at the ${name} on your paper.\n`);
  }
}
