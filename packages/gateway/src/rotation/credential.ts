import type { UserSecrets } from '@sallyport/protocol';
import { type Credential, Secret } from '@sallyport/rotation';

/** What a record's secrets open an account with; null when there is nothing of that kind in them. */
export function credentialOf(secrets: UserSecrets | null, changes: Credential['kind']): Credential | null {
  if (secrets === null) return null;
  if (changes === 'password') {
    return secrets.password === undefined ? null : { kind: 'password', password: new Secret(secrets.password) };
  }
  if (secrets.privatePemKey === undefined) return null;
  return {
    kind: 'ssh-key',
    privateKey: new Secret(secrets.privatePemKey),
    passphrase: secrets.passphrase === undefined ? null : new Secret(secrets.passphrase),
    publicKey: secrets.custom[publicKeyField] ?? '',
  };
}

/** An administrator's: its key where it has one, else its password. */
export function anyCredential(secrets: UserSecrets | null): Credential | null {
  return credentialOf(secrets, 'ssh-key') ?? credentialOf(secrets, 'password');
}

/** Custom field of the secrets that carries the public half of a rotated key. */
const publicKeyField = 'sshPublicKey';

/** The record's secrets with this credential in them; what else they hold stays. */
export function secretsWith(before: UserSecrets | null, next: Credential): UserSecrets {
  const rest: UserSecrets = before ?? { custom: {} };
  if (next.kind === 'password') return { ...rest, password: next.password.reveal() };
  const { passphrase: _, ...others } = rest;
  const passphrase = next.passphrase === null ? {} : { passphrase: next.passphrase.reveal() };
  return {
    ...others,
    ...passphrase,
    privatePemKey: next.privateKey.reveal(),
    custom: { ...rest.custom, [publicKeyField]: next.publicKey },
  };
}
