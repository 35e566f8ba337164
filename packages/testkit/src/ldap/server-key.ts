import { join } from 'node:path';
import { runChild } from '../process/child.ts';

/** Makes `key.pem` and a certificate `cert.pem` that nobody signed, in `folder`. */
export async function makeServerKey(folder: string, name: string, address: string): Promise<void> {
  const made = await runChild('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', `/CN=${name}`],
    ...['-addext', `subjectAltName=DNS:${name},IP:${address}`],
    ...['-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')],
  ]);
  if (made.code !== 0) throw new Error(`openssl: ${made.stderr}`);
}
