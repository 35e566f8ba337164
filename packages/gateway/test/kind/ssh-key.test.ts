import { afterAll, beforeAll, describe, test } from 'vitest';
import { createCleanup, kindCases, type KindServer, requireLinuxHost } from '@sallyport/testkit';
import { sshKey } from '../../src/kind/ssh-key/ssh-key.ts';
import { makeKeyPair } from '../../src/kind/index.ts';
import { accountOf, password, keyServer, sshLies, startLinuxLab, targetOf } from '../lab/linux-lab.ts';

const presence = await requireLinuxHost();

/** Dozens of logins in some cases, each with a process of its own on a busy machine. */
const patienceMs = 300_000;

describe.skipIf(presence.isMissing)('ssh-key', () => {
  let server: KindServer;
  // A hook that is registered while another runs is never called.
  const cleanup = createCleanup();
  afterAll(cleanup.run);
  beforeAll(async () => {
    const host = await startLinuxLab(cleanup.later);
    const admin = { account: accountOf('asks'), credential: password('asks-Pass-1') };
    server = keyServer(cleanup.later, host, admin);
  });

  const cases = kindCases({
    kind: sshKey,
    absent: {
      weak: 'there is no policy for keys: each is made by us',
      expire: "keys in authorized_keys do not expire, and an expired password is the password kind's",
      lock: 'sshd answers a locked account as it answers a wrong password; the dry run tells them apart',
    },
    target: targetOf('127.0.0.1', 22),
    login: { account: accountOf('somebody'), credential: makeKeyPair() },
    lies: sshLies,
    server: () => server,
  });
  for (const { name, absent, run } of cases) test.skipIf(absent !== null)(name, run, patienceMs);
});
