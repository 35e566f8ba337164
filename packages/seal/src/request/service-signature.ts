import {
  applicationUidSchema,
  type ApplicationUid,
  escapeSchema,
  itemUidSchema,
  type ItemUid,
  type Service,
} from '@sallyport/protocol';
import { z } from 'zod';
import { hashText } from '../bytes.ts';
import { signStatement } from '../jose/statement.ts';
import type { SigningKey } from '../keys/ec-key.ts';
import type { LogState } from '../log/state.ts';
import { refusal } from '../refuse.ts';
import { openForGateways } from './open-for-gateways.ts';

const claimsSchema = z.strictObject({
  app: applicationUidSchema,
  /** Item whose facts carry the service. */
  holder: itemUidSchema,
  name: z.string().min(1).max(128),
  machine: itemUidSchema,
  as: z.exactOptional(itemUidSchema),
  unit: z.string().max(256),
  manager: z.enum(['systemd', 'sysv']),
  file: z.string().max(1_024),
  /** base64url SHA-256 of its text. */
  template: z.string().regex(/^[\w-]{43}$/),
  escape: escapeSchema,
  iat: z.int().min(0).max(253_402_300_799),
});

type Signed = Omit<Service, 'signed'>;
interface ServicePlace {
  readonly app: ApplicationUid;
  readonly holder: ItemUid;
}

async function claimsOf(service: Signed, place: ServicePlace, iat: number): Promise<z.infer<typeof claimsSchema>> {
  const { name, machine, as, unit, manager, file, escape } = service;
  const login = as === undefined ? {} : { as };
  const template = await hashText(service.template);
  return { ...place, name, machine, ...login, unit, manager, file, template, escape, iat };
}

/** Signs what is written and restarted, as root, and on which machine: it needs the right `gateways`. */
export async function signService(
  service: Signed,
  place: ServicePlace,
  device: SigningKey,
  nowSeconds: number,
): Promise<string> {
  return signStatement('sallyport-service+jws', await claimsOf(service, place, nowSeconds), device);
}

const rules = {
  typ: 'sallyport-service+jws',
  maxChars: 8_192,
  schema: claimsSchema,
  code: 'PAM_ORDER_INVALID',
  what: 'The signature of the service',
} as const;

/**
 * Checks a service before it is touched: a device that may manage gateways now signed exactly this one for exactly this
 * item.
 *
 * @throws PAM_ORDER_INVALID with why: size, form, header, payload, signer, right, signature, service.
 */
export async function verifyService(service: Service, place: ServicePlace, log: LogState): Promise<void> {
  const payload = await openForGateways(service.signed, rules, log);
  const wanted = await claimsOf(service, place, payload.iat);
  if (JSON.stringify(claimsSchema.parse(wanted)) === JSON.stringify(payload)) return;
  throw refusal(rules.code, 'service', 'The service is not the one that was signed.');
}
