/**
 * One text for all spellings of a distinguished name (RFC 4514): case, spaces around `,` `=` `+`, and the ways to escape a
 * character do not tell two entries apart. Never used to address an entry: the server gets the record's own text.
 */
export function canonicalName(text: string): string {
  return split(text, /[,;]/)
    .map((part) => split(part, /\+/).map(canonicalPair).sort().join('+'))
    .join(',');
}

/** Parts between separators that no backslash or quote stands before. */
function split(text: string, separator: RegExp): readonly string[] {
  const parts: string[] = [];
  let part = '';
  let isQuoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === '\\') {
      part += text.slice(at, at + 2);
      at += 1;
    } else if (!isQuoted && separator.test(char)) {
      parts.push(part);
      part = '';
    } else {
      if (char === '"') isQuoted = !isQuoted;
      part += char;
    }
  }
  return [...parts, part];
}

function canonicalPair(pair: string): string {
  const at = pair.indexOf('=');
  if (at < 0) return escape(unescape(pair));
  const type = pair.slice(0, at).trim().toLowerCase();
  return `${type}=${escape(unescape(pair.slice(at + 1)))}`;
}

/** The value as it is meant: quotes and backslashes undone, case folded, runs of spaces made one. */
function unescape(raw: string): string {
  const trimmed = raw.trimStart().replace(/(?<!\\)\s+$/, '');
  const inner = /^".*"$/s.test(trimmed) ? trimmed.slice(1, -1) : trimmed;
  const bytes: Buffer[] = [];
  for (let at = 0; at < inner.length; ) {
    const hex = /^\\([0-9a-f]{2})/i.exec(inner.slice(at, at + 3));
    const isEscape = inner.charAt(at) === '\\' && at + 1 < inner.length;
    const char = hex ? '' : String.fromCodePoint(inner.codePointAt(isEscape ? at + 1 : at) ?? 0);
    bytes.push(hex ? Buffer.from(hex[1] ?? '', 'hex') : Buffer.from(char, 'utf8'));
    at += hex ? 3 : char.length + (isEscape ? 1 : 0);
  }
  return Buffer.concat(bytes).toString('utf8').normalize('NFKC').toLowerCase().trim().replaceAll(/\s+/g, ' ');
}

const escape = (value: string): string => value.replaceAll(/[\\,;+"<>=#]/g, (char) => `\\${char}`);
