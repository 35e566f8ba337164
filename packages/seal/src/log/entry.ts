import {
  applicationUidSchema,
  deviceIdSchema,
  gatewayUidSchema,
  generationSchema,
  hashSchema,
  personUidSchema,
  rights,
  signInNameSchema,
} from '@sallyport/protocol';
import { z } from 'zod';
import { hashText } from '../bytes.ts';
import { readStatement, type Statement } from '../jose/statement.ts';
import { publicJwkSchema } from '../keys/ec-key.ts';
import { refusal } from '../refuse.ts';

/**
 * Entries of the trust log: compact JWS, payload {v: 1, n, prev, at, kind, …}. `n` counts from 0, `prev` is the hash
 * of entry n − 1 ('' in the first), `at` is the signer's clock in Unix seconds and decides nothing.
 *
 * @see docs/protocol-vault.md section 2
 */
export const entryMaxChars = 16_384;

const pins = z.array(hashSchema).min(1).max(2);
const uid = z.string().regex(/^[A-Za-z][\w-]{21}$/);
const personKeysSchema = z.strictObject({
  uid: personUidSchema,
  name: signInNameSchema,
  signKey: publicJwkSchema,
  boxKey: publicJwkSchema,
});
const commitmentsSchema = z.strictObject({ facts: hashSchema, secrets: hashSchema, recordings: hashSchema });

const kinds = {
  genesis: { installation: uid, person: personKeysSchema, recoveryKey: publicJwkSchema, routerPins: pins },
  person: { person: personKeysSchema, rights: z.array(z.enum(rights)).max(rights.length) },
  device: {
    person: personUidSchema,
    device: z.strictObject({
      id: deviceIdSchema,
      key: publicJwkSchema,
      kind: z.literal('cli'),
      label: z.string().min(1).max(64),
    }),
  },
  application: { app: applicationUidSchema },
  generation: { app: applicationUidSchema, gen: generationSchema, commitments: commitmentsSchema },
  gateway: {
    gateway: gatewayUidSchema,
    app: applicationUidSchema,
    signKey: publicJwkSchema,
    boxKey: publicJwkSchema,
  },
  /** New pool keys: from here on the old ones sign and open nothing. */
  'gateway-rekeyed': { gateway: gatewayUidSchema, signKey: publicJwkSchema, boxKey: publicJwkSchema },
  'gateway-removed': { gateway: gatewayUidSchema },
  'device-removed': { device: deviceIdSchema },
  'app-removed': { app: applicationUidSchema },
  'router-pin': { pins },
} as const;

const envelope = {
  v: z.literal(1),
  n: z.int().min(0).max(10_000_000),
  prev: z.union([z.literal(''), hashSchema]),
  at: z.int().min(0).max(253_402_300_799),
};

export const entrySchema = z.discriminatedUnion('kind', [
  z.strictObject({ ...envelope, kind: z.literal('genesis'), ...kinds.genesis }),
  z.strictObject({ ...envelope, kind: z.literal('person'), ...kinds.person }),
  z.strictObject({ ...envelope, kind: z.literal('device'), ...kinds.device }),
  z.strictObject({ ...envelope, kind: z.literal('application'), ...kinds.application }),
  z.strictObject({ ...envelope, kind: z.literal('generation'), ...kinds.generation }),
  z.strictObject({ ...envelope, kind: z.literal('gateway'), ...kinds.gateway }),
  z.strictObject({ ...envelope, kind: z.literal('gateway-rekeyed'), ...kinds['gateway-rekeyed'] }),
  z.strictObject({ ...envelope, kind: z.literal('gateway-removed'), ...kinds['gateway-removed'] }),
  z.strictObject({ ...envelope, kind: z.literal('device-removed'), ...kinds['device-removed'] }),
  z.strictObject({ ...envelope, kind: z.literal('app-removed'), ...kinds['app-removed'] }),
  z.strictObject({ ...envelope, kind: z.literal('router-pin'), ...kinds['router-pin'] }),
]);

export type LogEntry = z.infer<typeof entrySchema>;
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
/** What an entry says; `signEntry` fills v, n, prev and at. */
export type LogEntryBody = Readonly<DistributiveOmit<LogEntry, 'v' | 'n' | 'prev' | 'at'>>;
export type PersonKeys = z.infer<typeof personKeysSchema>;
/** One-way names of a generation's three keys: an unwrapped key must match before it is used. */
export type Commitments = z.infer<typeof commitmentsSchema>;

/** base64url SHA-256 of the compact text: the name of an entry; that of the first is the anchor. */
export function entryHash(entry: string): Promise<string> {
  return hashText(entry);
}

const kindOnly = z.looseObject({ v: z.unknown(), kind: z.unknown() });

/**
 * Reads an entry without verifying anything.
 *
 * @throws PAM_TRUST_ENTRY_INVALID; a version or kind this program does not know says so and asks for an upgrade.
 */
export function readEntry(entry: string, what: string): Statement<LogEntry> {
  const rules = { typ: 'sallyport-log+jws', maxChars: entryMaxChars, code: 'PAM_TRUST_ENTRY_INVALID', what } as const;
  const seen = readStatement(entry, { ...rules, schema: kindOnly }).payload;
  if (seen.v !== 1 || typeof seen.kind !== 'string' || !Object.hasOwn(kinds, seen.kind)) {
    const named = typeof seen.kind === 'string' ? seen.kind.replaceAll(/[^\w-]/g, '?').slice(0, 32) : 'without a name';
    throw refusal(
      rules.code,
      'kind',
      `${what} is of a version or kind (${named}) that this program does not know: upgrade it.`,
    );
  }
  return readStatement(entry, { ...rules, schema: entrySchema });
}

export interface PeekedEntry {
  readonly n: number;
  readonly prev: string;
  readonly at: number;
  readonly kind: LogEntry['kind'];
  readonly kid: string;
  readonly body: LogEntryBody;
}

/** Number, time, signer and body of an entry, to show or route it: nothing is verified. */
export function peekEntry(entry: string): PeekedEntry {
  const { kid, payload } = readEntry(entry, 'This entry of the trust log');
  const { v: _v, n, prev, at, ...body } = payload;
  return { n, prev, at, kind: payload.kind, kid, body };
}
