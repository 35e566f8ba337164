import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { PamError } from '@sallyport/protocol';
import { type Credential, Secret } from '@sallyport/rotation';

const type = Buffer.from('ssh-ed25519');
/** The private part is filled up to the block length of the cipher `none`. */
const blockBytes = 8;

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

const text = (bytes: Uint8Array): Buffer => Buffer.concat([uint32(bytes.byteLength), bytes]);

/**
 * A fresh Ed25519 key pair in OpenSSH's form, without a passphrase: the vault seals it.
 *
 * Written here and not by ssh2 1.17, whose `generateKeyPairSync` makes private keys that it cannot read itself now and
 * then ("Malformed OpenSSH private key", 11 of 3,000).
 *
 * @see OpenSSH, PROTOCOL.key; RFC 8709.
 */
export function makeKeyPair(): Extract<Credential, { kind: 'ssh-key' }> {
  const { x, d } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  if (x === undefined || d === undefined) throw new PamError('PAM_INTERNAL', 'no Ed25519 key could be made');
  const [publicPart, seed] = [Buffer.from(x, 'base64url'), Buffer.from(d, 'base64url')];
  const publicBlob = Buffer.concat([text(type), text(publicPart)]);
  const check = randomBytes(4);
  const inner = Buffer.concat([
    ...[check, check, text(type), text(publicPart)],
    ...[text(Buffer.concat([seed, publicPart])), text(Buffer.alloc(0))],
  ]);
  const fill = Buffer.from(Array.from({ length: -inner.byteLength & (blockBytes - 1) }, (_, index) => index + 1));
  const none = text(Buffer.from('none'));
  const whole = Buffer.concat([
    ...[Buffer.from('openssh-key-v1\0'), none, none, text(Buffer.alloc(0)), uint32(1)],
    ...[text(publicBlob), text(Buffer.concat([inner, fill]))],
  ]);
  const lines = whole.toString('base64').replaceAll(/.{70}/g, '$&\n');
  return {
    kind: 'ssh-key',
    privateKey: new Secret(
      `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.trimEnd()}\n-----END OPENSSH PRIVATE KEY-----\n`,
    ),
    passphrase: null,
    publicKey: `${type.toString()} ${publicBlob.toString('base64')}`,
  };
}
