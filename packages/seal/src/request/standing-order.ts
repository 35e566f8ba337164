import {
  applicationUidSchema,
  deviceIdSchema,
  gatewayUidSchema,
  headSchema,
  itemUidSchema,
  PamError,
  scheduleSchema,
} from '@sallyport/protocol';
import { z } from 'zod';
import { openStatement, readStatement, signStatement } from '../jose/statement.ts';
import type { SigningKey } from '../keys/ec-key.ts';
import type { LogState } from '../log/state.ts';
import { refusal } from '../refuse.ts';

const standingOrderSchema = z.strictObject({
  iss: deviceIdSchema,
  app: applicationUidSchema,
  gateway: gatewayUidSchema,
  record: itemUidSchema,
  schedule: scheduleSchema,
  /** Unix seconds; intervals of several weeks or months are counted from here. */
  iat: z.int().min(0).max(253_402_300_799),
  head: headSchema,
});

/** A schedule that a device signed: it stays in the record's sealed facts, whoever edits them later. */
export type StandingOrder = Readonly<z.infer<typeof standingOrderSchema>>;

/** @throws PAM_BAD_REQUEST when the claims are malformed. */
export async function signStandingOrder(
  claims: z.input<typeof standingOrderSchema>,
  device: SigningKey,
): Promise<string> {
  const parsed = standingOrderSchema.safeParse(claims);
  if (parsed.success) return signStatement('sallyport-standing-order+jws', parsed.data, device);
  throw new PamError('PAM_BAD_REQUEST', 'The claims of a standing order are malformed.', { cause: parsed.error });
}

const rules = {
  typ: 'sallyport-standing-order+jws',
  maxChars: 8_192,
  schema: standingOrderSchema,
  code: 'PAM_ORDER_INVALID',
  what: 'The standing order',
} as const;
const refuse = (why: string, problem: string): PamError => refusal(rules.code, why, `The standing order ${problem}.`);

/** The claims without any check but their form: for lists and next runs. */
export function peekStandingOrder(jws: string): StandingOrder {
  return readStatement(jws, rules).payload;
}

/**
 * Verifies a standing order. To act on it its signer must be able to use secrets now: a removed person's standing orders
 * end. `past`: it was obeyed before, as `verifyPastOrder`.
 *
 * @throws PAM_ORDER_INVALID with why: size, form, header, payload, signer, right, signature, issuer, place.
 */
export async function verifyStandingOrder(
  jws: string,
  want: Pick<StandingOrder, 'app' | 'gateway' | 'record'> & { readonly log: LogState; readonly past: boolean },
): Promise<StandingOrder> {
  const { log } = want;
  const { kid, payload: order } = await openStatement(jws, {
    ...rules,
    keyOf: (device) => {
      const known = log.devices.get(device);
      if (known === undefined) return undefined;
      const may = want.past
        ? (log.persons.get(known.person)?.rights.includes('secrets') ?? false)
        : log.grants(device, 'secrets');
      if (may) return known.key;
      throw refuse('right', 'is signed by a device that may not use secrets');
    },
  });
  if (order.iss !== kid) throw refuse('issuer', 'is signed by another device than it names');
  for (const name of ['app', 'gateway', 'record'] as const) {
    if (order[name] !== want[name]) throw refuse('place', `is for another ${name}`);
  }
  return order;
}
