import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PamError } from '@sallyport/protocol';
import { createCleanup, tempDir } from '@sallyport/testkit';
import { afterAll, expect, test } from 'vitest';
import { type AlertFlags, alertSettingsOf } from './alert-settings.ts';

const cleanup = createCleanup();
afterAll(() => cleanup.run());
const settingsOf = (flags: Partial<AlertFlags>): ReturnType<typeof alertSettingsOf> =>
  alertSettingsOf({ alertRepeat: 240, ...flags });
function refusal(flags: Partial<AlertFlags>): PamError {
  try {
    settingsOf(flags);
  } catch (reason) {
    if (reason instanceof PamError) return reason;
  }
  throw new Error('it was taken');
}

test('a webhook is https, or on this machine', () => {
  const taken = ['https://h.example/T0/B0', 'http://127.0.0.1:9/x', 'http://localhost/x', 'http://[::1]:9/x'];
  for (const alertUrl of taken) expect(settingsOf({ alertUrl })?.endpoint.url.href).toContain('://');
  expect(settingsOf({})).toBeNull();
});

test('a URL that is refused is not repeated: it may be the secret', () => {
  const refused = [
    ...['http://h.example/s3cret', 'http://127.0.0.1.h.example/s3cret', 'ftp://127.0.0.1/s3cret', 's3cret'],
    ...['https://s3cret:x@h.example/', 'https://h.example/s3cret#part', `https://h.example/s3cret${'a'.repeat(3_000)}`],
    ...['file:///s3cret', 'http://0x7f.1.h.example/s3cret'],
  ];
  for (const alertUrl of refused) {
    const error = refusal({ alertUrl });
    expect(error.code).toBe('PAM_CONFIG_INVALID');
    expect(`${error.message} ${error.remedy} ${JSON.stringify(error.detail)}`).not.toContain('s3cret');
  }
});

test('a secret is one line of 16 bytes or more; its text is in no message', () => {
  const folder = tempDir(cleanup.later);
  const file = join(folder, 'secret');
  const alertUrl = 'https://h.example/';
  writeFileSync(file, 'sixteen-bytes-ok\n');
  expect(settingsOf({ alertUrl, alertSecretFile: file })?.endpoint.secret).toEqual(Buffer.from('sixteen-bytes-ok'));
  writeFileSync(file, 'short-s3cret\n');
  expect(refusal({ alertUrl, alertSecretFile: file }).message).not.toContain('s3cret');
  expect(refusal({ alertUrl, alertSecretFile: join(folder, 'none') }).message).toMatch(/cannot be read/);
  expect(refusal({ alertSecretFile: file }).message).toMatch(/no --alert-url/);
});

test('an alert that does not exist is refused with the list of those that do', () => {
  const error = refusal({ alertUrl: 'https://h.example/', alertOn: 'gateway-offline,everything' });
  expect([error.message, error.remedy]).toEqual([
    expect.stringContaining("no alert 'everything'"),
    expect.stringContaining('pool-full'),
  ]);
});
