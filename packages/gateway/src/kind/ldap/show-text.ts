import type { Secret } from '@sallyport/rotation';

const maxShown = 160;
const unprintable = /[^\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]+/g;

/**
 * Words of a server, made fit for an operator: one line, at most 160 characters, without any of `secrets`. A server may
 * send back what it was sent.
 */
export function showText(text: string, secrets: readonly Secret[]): string {
  const hidden = secrets
    .map((secret) => secret.reveal())
    .filter((secret) => secret.length > 0)
    .reduce((shown, secret) => shown.replaceAll(secret, '[secret]'), text);
  return hidden.replaceAll(unprintable, ' ').trim().slice(0, maxShown);
}
