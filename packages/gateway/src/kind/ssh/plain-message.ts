/** Longest message of the contract. */
const maxChars = 256;

/**
 * Makes a server's words fit for an operator: on one line, without control characters, without any of `secrets`, at most
 * 256 characters.
 */
export function plainMessage(text: string, secrets: readonly string[] = []): string {
  let shown = text;
  for (const secret of secrets.filter((value) => value !== '').toSorted((a, b) => b.length - a.length))
    shown = shown.replaceAll(secret, '[secret]');
  shown = shown.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim();
  return shown.length <= maxChars ? shown : `${shown.slice(0, maxChars - 1)}…`;
}
