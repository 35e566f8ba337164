type Line = readonly [attribute: string, value: string];

const isSafe = (value: string): boolean => /^[A-Za-z0-9][\x20-\x7e]*$/.test(value);

/** LDIF of one entry or change; a value that may mean something to LDIF is a value and nothing else. */
export function ldifOf(name: string, lines: readonly Line[]): string {
  const written = [['dn', name] as const, ...lines].map(([attribute, value]) =>
    isSafe(value) ? `${attribute}: ${value}` : `${attribute}:: ${Buffer.from(value, 'utf8').toString('base64')}`,
  );
  return `${written.join('\n')}\n`;
}

/** A value as it stands in a distinguished name (RFC 4514 section 2.4). */
export function escapeNameValue(value: string): string {
  const hex = (char: string): string =>
    [...Buffer.from(char, 'utf8')].map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join('');
  return value.replaceAll(/[\\,;+"<>=#\p{Cc}]|^ | $/gu, hex);
}
