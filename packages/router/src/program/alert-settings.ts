import { readFileSync } from 'node:fs';
import { type AlertKind, alertKindSchema, PamError } from '@sallyport/protocol';
import type { AlertEndpoint, AlertTimes } from '../alert/index.ts';

const mostUrl = 2_048;
const secretBytes = { least: 16, most: 4_096 } as const;
const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** What the flags said, not yet read. */
export interface AlertFlags {
  readonly alertUrl?: string | undefined;
  readonly alertSecretFile?: string | undefined;
  readonly alertOn?: string | undefined;
  readonly alertGrace?: number | undefined;
  readonly alertRepeat: number;
}

/** The messages never repeat the URL: that of many services is a secret, and a start's output ends in logs. */
function readUrl(text: string): URL {
  const invalid = (why: string): PamError =>
    new PamError('PAM_CONFIG_INVALID', `--alert-url ${why}`, {
      remedy:
        'Give an https:// URL without a user name; http:// is taken only for this machine (127.0.0.1, localhost).',
    });
  if (text.length > mostUrl) throw invalid(`is over ${mostUrl} characters`);
  const url = URL.parse(text);
  if (url === null) throw invalid('is no URL');
  if (url.username !== '' || url.password !== '') throw invalid('holds a user name or password');
  if (url.hash !== '') throw invalid('holds a fragment (#)');
  if (url.protocol === 'https:' || (url.protocol === 'http:' && loopback.test(url.hostname))) return url;
  throw invalid('is neither https:// nor on this machine');
}

function readSecret(file: string): Uint8Array {
  let text: Buffer;
  try {
    text = readFileSync(file);
  } catch (reason) {
    throw new PamError('PAM_CONFIG_INVALID', `--alert-secret-file ${file} cannot be read`, { cause: reason });
  }
  const secret = text
    .subarray(0, secretBytes.most + 2)
    .toString('utf8')
    .replace(/\r?\n$/, '');
  const { least, most } = secretBytes;
  const size = Buffer.byteLength(secret);
  if (size >= least && size <= most) return Buffer.from(secret);
  throw new PamError(
    'PAM_CONFIG_INVALID',
    `--alert-secret-file ${file} must hold ${least} to ${most} bytes in one line`,
  );
}

function readKinds(text: string): ReadonlySet<AlertKind> {
  const kinds = text.split(',').map((part) => {
    const kind = alertKindSchema.safeParse(part.trim());
    if (kind.success) return kind.data;
    const known = alertKindSchema.options.join(', ');
    throw new PamError('PAM_CONFIG_INVALID', `--alert-on: there is no alert '${part.trim().slice(0, 64)}'`, {
      remedy: `Name some of: ${known}.`,
    });
  });
  return new Set(kinds);
}

/** @returns null when no webhook was named. @throws PAM_CONFIG_INVALID naming the flag, never the URL or the secret. */
export function alertSettingsOf(
  flags: AlertFlags,
): { readonly endpoint: AlertEndpoint; readonly times: AlertTimes } | null {
  if (flags.alertUrl === undefined) {
    if (flags.alertSecretFile === undefined) return null;
    throw new PamError('PAM_CONFIG_INVALID', '--alert-secret-file is given, but no --alert-url');
  }
  const secret = flags.alertSecretFile === undefined ? null : readSecret(flags.alertSecretFile);
  const kinds = readKinds(flags.alertOn ?? alertKindSchema.options.join(','));
  const graceMs = flags.alertGrace === undefined ? null : flags.alertGrace * 1_000;
  return {
    endpoint: { url: readUrl(flags.alertUrl), secret, kinds },
    times: { graceMs, repeatMs: flags.alertRepeat * 60_000 },
  };
}
