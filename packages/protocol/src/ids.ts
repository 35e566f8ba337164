import { z } from 'zod';

/**
 * UIDs are 16 random bytes in base64url without padding (22 characters), drawn again until the first is a letter,
 * so that none can be taken for a command-line option. An instance id is the first 22 characters of the RFC 7638
 * thumbprint of the instance's key; its first character may be anything.
 *
 * @see docs/glossary.md
 */
const uidPattern = /^[A-Za-z][\w-]{21}$/;
const thumbprintPattern = /^[\w-]{43}$/;

export const gatewayUidSchema = z.string().regex(uidPattern).brand<'GatewayUid'>();
export const applicationUidSchema = z.string().regex(uidPattern).brand<'ApplicationUid'>();
/** Any vault item: record, PAM configuration, application or gateway. */
export const itemUidSchema = z.string().regex(uidPattern).brand<'ItemUid'>();
export const personUidSchema = z.string().regex(uidPattern).brand<'PersonUid'>();
export const sessionIdSchema = z.string().regex(uidPattern).brand<'SessionId'>();
export const streamIdSchema = z.string().regex(uidPattern).brand<'StreamId'>();
export const jobIdSchema = z.string().regex(uidPattern).brand<'JobId'>();
/** RFC 7638 SHA-256 thumbprint of the device's public key, 43 base64url characters. */
export const deviceIdSchema = z.string().regex(thumbprintPattern).brand<'DeviceId'>();
/** First 22 characters of the RFC 7638 thumbprint of the instance's public key. */
export const instanceIdSchema = z
  .string()
  .regex(/^[\w-]{22}$/)
  .brand<'InstanceId'>();

export type GatewayUid = z.infer<typeof gatewayUidSchema>;
export type ApplicationUid = z.infer<typeof applicationUidSchema>;
export type ItemUid = z.infer<typeof itemUidSchema>;
export type PersonUid = z.infer<typeof personUidSchema>;
export type SessionId = z.infer<typeof sessionIdSchema>;
export type StreamId = z.infer<typeof streamIdSchema>;
export type JobId = z.infer<typeof jobIdSchema>;
export type DeviceId = z.infer<typeof deviceIdSchema>;
export type InstanceId = z.infer<typeof instanceIdSchema>;

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** Encodes bytes as base64url without padding (RFC 4648 section 5). Web APIs only. */
export function toBase64url(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const word = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    const chars = Math.min(bytes.length - i, 3) + 1;
    for (let c = 0; c < chars; c++) text += alphabet.charAt((word >> (18 - 6 * c)) & 63);
  }
  return text;
}

/**
 * Draws a UID: 16 bytes from `randomBytes`, again until the text begins with a letter.
 *
 * @param randomBytes - a cryptographic source; it is called 1.2 times on average.
 */
export function newUid(randomBytes: (length: number) => Uint8Array): string {
  for (;;) {
    const uid = toBase64url(randomBytes(16));
    if (uidPattern.test(uid)) return uid;
  }
}
