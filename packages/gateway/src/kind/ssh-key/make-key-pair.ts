import { type Credential, Secret } from '@sallyport/rotation';
import ssh2 from 'ssh2';

/** A fresh Ed25519 key pair in OpenSSH's form, without a passphrase: the vault seals it. */
export function makeKeyPair(): Extract<Credential, { kind: 'ssh-key' }> {
  const pair = ssh2.utils.generateKeyPairSync('ed25519');
  return {
    kind: 'ssh-key',
    privateKey: new Secret(pair.private),
    passphrase: null,
    publicKey: pair.public.split(' ').slice(0, 2).join(' '),
  };
}
