import { createHash, randomBytes } from 'node:crypto';
import type { DeviceId, PersonUid } from '@sallyport/protocol';
import type { SignIn } from './identity-store.ts';

/** Longest life of a sign-in; a person asks for less with `lifeMinutes`. */
const signInLifeMinutes = 720;

/** What of an access token is stored. */
export function hashToken(accessToken: string): string {
  return createHash('sha256').update(accessToken).digest('base64url');
}

/** A fresh access token (32 random bytes), bound to `device`, and the row that is kept of it. */
export function newSignIn(input: {
  readonly person: PersonUid;
  readonly device: DeviceId;
  readonly lifeMinutes: number;
  readonly nowMs: number;
}): { readonly accessToken: string; readonly signIn: SignIn } {
  const accessToken = randomBytes(32).toString('base64url');
  const life = Math.min(input.lifeMinutes, signInLifeMinutes) * 60_000;
  return {
    accessToken,
    signIn: {
      tokenHash: hashToken(accessToken),
      person: input.person,
      device: input.device,
      createdAtMs: input.nowMs,
      expiresAtMs: input.nowMs + life,
    },
  };
}
