import type { Credential, Secret } from '@sallyport/rotation';

const mostShown = 200;
const unprintable = /[^\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]+/g;

export function secretsOf(credential: Credential | null): readonly Secret[] {
  if (credential === null) return [];
  if (credential.kind === 'password') return [credential.password];
  return [credential.privateKey, ...(credential.passphrase === null ? [] : [credential.passphrase])];
}

/** Words of a server for an operator: one line, at most 200 characters, without any of `secrets`. */
export function serverWords(text: string, secrets: readonly Secret[]): string {
  const hidden = secrets
    .map((secret) => secret.reveal())
    .filter((secret) => secret !== '')
    .reduce((shown, secret) => shown.replaceAll(secret, '[secret]'), text);
  return hidden.replaceAll(unprintable, ' ').trim().slice(0, mostShown);
}
