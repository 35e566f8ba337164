import { z } from 'zod';
import { openBy, parseOpened, readHeader, requireExactHeader, sealFor, type SealedRules } from '../jose/sealed.ts';
import { type BoxKey, type PublicJwk, thumbprint } from '../keys/ec-key.ts';
import type { JsonValue } from './part.ts';

const rules = {
  typ: 'sallyport-box+jwe',
  maxChars: 8_192,
  code: 'PAM_SEAL_BROKEN',
  what: 'A value sealed to a pool',
} as const satisfies SealedRules;

/**
 * Seals a small value to whoever holds a box key (the options of a request to a pool). Anonymous: use it only inside
 * something that is signed. `purpose` is bound in the header.
 */
export async function sealToBox(purpose: string, value: JsonValue, recipient: PublicJwk): Promise<string> {
  const header = { purpose, to: await thumbprint(recipient) };
  return sealFor(recipient, rules.typ, header, JSON.stringify(value));
}

/** @throws PAM_SEAL_BROKEN; detail.why: size, form, header (also another purpose or recipient), key, payload. */
export async function openFromBox(purpose: string, jwe: string, box: BoxKey): Promise<unknown> {
  requireExactHeader(readHeader(jwe, rules, 'ECDH-ES+A256KW'), { purpose, to: box.id }, rules);
  return parseOpened(await openBy(box, jwe, rules), z.unknown(), rules);
}
