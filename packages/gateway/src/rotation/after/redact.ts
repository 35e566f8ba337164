/** A line of a longer secret (of a key in PEM) counts by itself from this length on. */
const lineChars = 16;

/** Every way in which a program commonly prints a value. */
function formsOf(secret: string): readonly string[] {
  const base64 = Buffer.from(secret).toString('base64');
  const url = encodeURIComponent(secret);
  const json = JSON.stringify(secret).slice(1, -1);
  return [
    ...[secret, json, json.replaceAll('/', String.raw`\/`)],
    ...[base64, base64.replace(/=+$/, ''), Buffer.from(secret).toString('base64url')],
    ...[url, url.replaceAll('%20', '+'), url.replace(/%[\dA-F]{2}/g, (code) => code.toLowerCase())],
    ...secret.split(/\r?\n/).filter((line) => line.length >= lineChars),
  ];
}

/** What is looked for in an output so that none of `secrets` is told. */
export function formsOfSecrets(secrets: readonly string[]): readonly string[] {
  return [...new Set(secrets.flatMap(formsOf))].filter((form) => form !== '');
}

/**
 * The first `maxChars` of an output without any of `forms`. Give it `maxChars` and the longest form more, where there
 * is more: a secret that the end cuts in two is not known for one.
 */
export function redact(text: string, forms: readonly string[], maxChars: number): string {
  const found: { from: number; to: number }[] = [];
  for (const form of forms) {
    for (let from = text.indexOf(form); from >= 0; from = text.indexOf(form, from + 1)) {
      found.push({ from, to: from + form.length });
    }
  }
  let shown = '';
  let at = 0;
  // Places are found in the text as it came: secrets that overlap are hidden whole.
  for (const { from, to } of found.toSorted((a, b) => a.from - b.from)) {
    if (from >= maxChars) break;
    if (from >= at) shown += `${text.slice(at, from)}[secret]`;
    at = Math.max(at, to);
  }
  shown += text.slice(at, Math.max(at, maxChars));
  return shown.replace(/[^\P{Cc}\n\t]/gu, '').toWellFormed();
}
