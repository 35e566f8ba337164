import { z } from 'zod';
import type { JsonValue } from '../envelope/part.ts';
import { openUnder, parseOpened, readHeader, requireExactHeader, type SealedRules, sealUnder } from '../jose/sealed.ts';
import { hkdf } from '../keys/symmetric.ts';

const rules = {
  typ: 'sallyport-rest+jwe',
  maxChars: 98_304,
  code: 'PAM_SEAL_BROKEN',
  what: 'A value kept on this device',
} as const satisfies SealedRules;

function restKey(purpose: string, deviceSecret: Uint8Array) {
  return hkdf(deviceSecret, new Uint8Array(), `sallyport-rest ${purpose}`);
}

/** Seals what rests on a device (a person's keys while a sign-in lasts) under a 32-byte secret of that device. */
export async function sealAtRest(purpose: string, value: JsonValue, deviceSecret: Uint8Array): Promise<string> {
  return sealUnder(await restKey(purpose, deviceSecret), rules.typ, { purpose }, JSON.stringify(value));
}

/** @throws PAM_SEAL_BROKEN with why: size, form, header (also another purpose), key, payload. */
export async function openAtRest(purpose: string, jwe: string, deviceSecret: Uint8Array): Promise<unknown> {
  requireExactHeader(readHeader(jwe, rules, 'A256KW'), { purpose }, rules);
  return parseOpened(await openUnder(await restKey(purpose, deviceSecret), jwe, rules), z.unknown(), rules);
}
