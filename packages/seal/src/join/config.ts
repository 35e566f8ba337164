import { applicationUidSchema, gatewayUidSchema, hashSchema, headSchema, PamError } from '@sallyport/protocol';
import { z } from 'zod';
import { fromBase64url, fromUtf8, utf8 } from '../bytes.ts';
import { importBoxKey, importSigningKey, privateJwkSchema } from '../keys/ec-key.ts';
import { refusal } from '../refuse.ts';
import { base64, parseHostPort } from './text.ts';

/** Longest text looked at, characters. */
const joinConfigMaxChars = 16_384;

export const joinConfigSchema = z.strictObject({
  v: z.literal(1),
  gateway: gatewayUidSchema,
  app: applicationUidSchema,
  routers: z
    .array(
      z
        .string()
        .min(3)
        .max(300)
        .refine((text) => parseHostPort(text) !== undefined, 'not HOST:PORT'),
    )
    .min(1)
    .max(8),
  pins: z.array(hashSchema).min(1).max(2),
  anchor: hashSchema,
  floor: headSchema,
  signKey: privateJwkSchema,
  boxKey: privateJwkSchema,
});

/**
 * All an instance needs to join: holding it *is* the pool (limit L1 of docs/threat-model.md). Secret. It holds no key
 * of the application: those are fetched, wrapped for the pool, so that one value outlives key generations.
 */
export type JoinConfig = Readonly<z.infer<typeof joinConfigSchema>>;

/** The value of GATEWAY_CONFIG: base64 of JSON, one line. */
export function encodeJoinConfig(config: JoinConfig): string {
  return base64(utf8(JSON.stringify(joinConfigSchema.parse(config))));
}

/**
 * Reads a configuration as people paste it: base64 or base64url, with or without padding and line breaks, or the JSON
 * itself.
 *
 * @throws PAM_JOIN_CONFIG_INVALID; detail.why: size, empty, encoding, truncated, json, version, field, keys.
 */
export async function decodeJoinConfig(text: string): Promise<JoinConfig> {
  if (text.length > joinConfigMaxChars) {
    throw invalid('size', `The gateway configuration is longer than ${joinConfigMaxChars} characters.`);
  }
  const value = parseConfigJson(decodeText(text));
  const version = z.looseObject({ v: z.unknown() }).safeParse(value);
  if (version.success && version.data.v !== undefined && version.data.v !== 1) {
    throw invalid('version', 'The gateway configuration is of a version this program does not know: upgrade it.');
  }
  const parsed = joinConfigSchema.safeParse(value);
  if (!parsed.success) {
    const field = parsed.error.issues[0]?.path.join('.').slice(0, 64) ?? '';
    const named = field === '' ? 'has a field too many' : `has no valid field '${field}'`;
    throw invalid('field', `The gateway configuration ${named}.`);
  }
  try {
    await importSigningKey(parsed.data.signKey);
    await importBoxKey(parsed.data.boxKey);
  } catch (reason) {
    if (!(reason instanceof PamError)) throw reason;
    throw invalid('keys', 'The keys in the gateway configuration do not match: it was changed or mixed up.');
  }
  return parsed.data;
}

function decodeText(text: string): string {
  const trimmed = text.trim();
  if (trimmed === '') throw invalid('empty', 'The gateway configuration is empty.');
  if (trimmed.startsWith('{')) return trimmed;
  const compact = trimmed.replaceAll(/\s+/g, '').replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
  if (!/^[\w-]+$/.test(compact)) {
    throw invalid('encoding', 'The gateway configuration is neither base64 nor JSON.');
  }
  const bytes = fromBase64url(compact) ?? fromBase64url(compact.slice(0, compact.length - (compact.length % 4)));
  try {
    if (bytes !== undefined) return fromUtf8(bytes);
  } catch (reason) {
    if (!(reason instanceof TypeError)) throw reason;
  }
  throw invalid('encoding', 'The gateway configuration is damaged: its base64 does not hold text.');
}

function parseConfigJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (reason) {
    if (!(reason instanceof SyntaxError)) throw reason;
    if (text.startsWith('{') && !text.trimEnd().endsWith('}')) {
      throw invalid('truncated', 'The gateway configuration is cut off at the end.');
    }
    throw invalid('json', 'The gateway configuration is damaged: it does not hold JSON.');
  }
}

function invalid(why: string, message: string): PamError {
  return refusal('PAM_JOIN_CONFIG_INVALID', why, message);
}

/**
 * A Kubernetes Secret manifest with the value under GATEWAY_CONFIG.
 *
 * @param name - DNS-1123 subdomain (RFC 1123), at most 253 characters; PAM_USAGE otherwise.
 */
export function toKubernetesSecret(config: JoinConfig, name: string): string {
  if (name.length > 253 || !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name)) {
    throw new PamError('PAM_USAGE', 'The name of a Kubernetes secret has lower case letters, digits, dashes and dots.');
  }
  return [
    'apiVersion: v1',
    'kind: Secret',
    'metadata:',
    `  name: ${name}`,
    'type: Opaque',
    'stringData:',
    `  GATEWAY_CONFIG: ${encodeJoinConfig(config)}`,
    '',
  ].join('\n');
}
