import {
  applicationUidSchema,
  type ApplicationUid,
  itemUidSchema,
  type ItemUid,
  type Script,
} from '@sallyport/protocol';
import { z } from 'zod';
import { hashText } from '../bytes.ts';
import { signStatement } from '../jose/statement.ts';
import type { SigningKey } from '../keys/ec-key.ts';
import type { LogState } from '../log/state.ts';
import { refusal } from '../refuse.ts';
import { openForGateways } from './open-for-gateways.ts';

const scriptSchema = z.strictObject({
  app: applicationUidSchema,
  /** Item whose facts carry the script. */
  holder: itemUidSchema,
  name: z.string().min(1).max(128),
  on: z.enum(['gateway', 'target']),
  machine: z.exactOptional(itemUidSchema),
  as: z.exactOptional(itemUidSchema),
  command: z.array(z.string().min(1).max(1_024)).max(16),
  /** base64url SHA-256 of its text. */
  body: z.string().regex(/^[\w-]{43}$/),
  /** Whose secrets it is given: who may only edit a record must not hand others to a script that was signed before. */
  records: z.array(itemUidSchema).max(8),
  timeoutSeconds: z.int().min(1).max(600),
  iat: z.int().min(0).max(253_402_300_799),
});

type Signed = Omit<Script, 'signed'>;
interface ScriptPlace {
  readonly app: ApplicationUid;
  readonly holder: ItemUid;
}

async function claimsOf(script: Signed, place: ScriptPlace, iat: number): Promise<z.infer<typeof scriptSchema>> {
  const { name, on, machine, as, command, records, timeoutSeconds } = script;
  const where = { ...(machine === undefined ? {} : { machine }), ...(as === undefined ? {} : { as }) };
  return { ...place, name, on, ...where, command, body: await hashText(script.body), records, timeoutSeconds, iat };
}

/** Signs what a script is and where it belongs: what runs on a gateway needs the right `gateways`. */
export async function signScript(
  script: Signed,
  place: ScriptPlace,
  device: SigningKey,
  nowSeconds: number,
): Promise<string> {
  return signStatement('sallyport-script+jws', await claimsOf(script, place, nowSeconds), device);
}

const rules = {
  typ: 'sallyport-script+jws',
  maxChars: 8_192,
  schema: scriptSchema,
  code: 'PAM_ORDER_INVALID',
  what: 'The signature of the script',
} as const;

/**
 * Checks a script before it is run: a device that may manage gateways now signed exactly this one for exactly this item.
 *
 * @throws PAM_ORDER_INVALID with why: size, form, header, payload, signer, right, signature, script.
 */
export async function verifyScript(script: Script, place: ScriptPlace, log: LogState): Promise<void> {
  const payload = await openForGateways(script.signed, rules, log);
  const wanted = await claimsOf(script, place, payload.iat);
  if (JSON.stringify(scriptSchema.parse(wanted)) === JSON.stringify(payload)) return;
  throw refusal(rules.code, 'script', 'The script is not the one that was signed.');
}
