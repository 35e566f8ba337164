import { type Escape, PamError } from '@sallyport/protocol';

const iniText = /^[A-Za-z\d\-_.+=:@%/,^~]*$/;
const pem = /^-----BEGIN [A-Z ]+-----\n[A-Za-z\d+/=\n]+\n-----END [A-Z ]+-----\n?$/;
const xmlNames: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/**
 * The template with `{{user}}` and `{{password}}` replaced. Who may set a password is not who may sign a template: no
 * value may end its place in the file and write a line of its own.
 *
 * @throws PAM_ORDER_INVALID when a value cannot be written so; the message does not show it.
 */
export function renderTemplate(
  template: string,
  escape: Escape,
  values: { readonly user: string; readonly password: string },
): string {
  return template.replaceAll(/\{\{(user|password)\}\}/g, (_whole, name: 'user' | 'password') => {
    const written = write(values[name], escape);
    if (written !== null) return written;
    throw new PamError('PAM_ORDER_INVALID', `the ${name} has characters that “${escape}” cannot write into a file`);
  });
}

/** Null: it cannot be written so. */
function write(value: string, escape: Escape): string | null {
  // A key is lines of its own and nothing else; nowhere but in a file that has no other syntax.
  if (escape === 'raw' && pem.test(value)) return value;
  if (!value.isWellFormed() || /[\p{Cc}\p{Zl}\p{Zp}]/u.test(value)) return null;
  switch (escape) {
    case 'raw':
      return value;
    case 'ini':
      return iniText.test(value) ? value : null;
    case 'shell':
      return `"${value.replaceAll(/["\\$`]/g, String.raw`\$&`)}"`;
    case 'json':
      return JSON.stringify(value);
    case 'xml':
      return value.replaceAll(/[&<>"']/g, (character) => xmlNames[character] ?? '');
    case 'url':
      return encodeURIComponent(value).replaceAll(
        /[!'()*]/g,
        (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
      );
    default:
      return escape satisfies never;
  }
}
