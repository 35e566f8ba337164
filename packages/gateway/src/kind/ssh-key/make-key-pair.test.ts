import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { requireTarget, runChild, tempDir } from '@sallyport/testkit';
import ssh2 from 'ssh2';
import { expect, onTestFinished, test } from 'vitest';
import { makeKeyPair } from './make-key-pair.ts';

test('every key pair can be read, and its halves belong together', () => {
  // Of those that ssh2 1.17 generates about 1 in 270 cannot be read.
  for (let turn = 0; turn < 2_000; turn += 1) {
    const { privateKey, publicKey } = makeKeyPair();
    const key = ssh2.utils.parseKey(privateKey.reveal());
    if (key instanceof Error) throw key;
    const signature = key.sign('signed');
    const other = ssh2.utils.parseKey(publicKey);
    if (other instanceof Error || signature instanceof Error) throw new Error('unreadable');
    expect(other.verify('signed', signature)).toBe(true);
  }
});

test.skipIf(requireTarget('ssh').isMissing)('OpenSSH reads it as we do', async () => {
  const { privateKey, publicKey } = makeKeyPair();
  const file = join(tempDir(onTestFinished), 'key');
  writeFileSync(file, privateKey.reveal(), { mode: 0o600 });
  const shown = await runChild('ssh-keygen', ['-y', '-f', file]);
  expect(shown).toMatchObject({ code: 0, stdout: `${publicKey}\n` });
});
