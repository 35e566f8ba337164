import type { Credential, KindAccount } from '@sallyport/rotation';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import {
  createCleanup,
  kindCases,
  kindWorld,
  type KindServer,
  type LinuxHost,
  requireLinuxHost,
  startFaultProxy,
} from '@sallyport/testkit';
import { linuxPassword } from '../../src/kind/linux-password/linux-password.ts';
import { accountOf, password, passwordServer, sshLies, startLinuxLab, targetOf } from '../lab/linux-lab.ts';

const presence = await requireLinuxHost();

/** Dozens of logins in some cases, each with a process of its own on a busy machine. */
const patienceMs = 300_000;

describe.skipIf(presence.isMissing)('linux-password', () => {
  let server: KindServer;
  let host: LinuxHost;
  // A hook that is registered while another runs is never called.
  const cleanup = createCleanup();
  afterAll(cleanup.run);
  beforeAll(async () => {
    host = await startLinuxLab(cleanup.later);
    const admin = { account: accountOf('asks'), credential: password('asks-Pass-1') };
    server = passwordServer(cleanup.later, host, admin);
  });

  const cases = kindCases({
    kind: linuxPassword,
    absent: {
      lock: 'sshd answers a locked account as it answers a wrong password; the dry run tells them apart',
    },
    target: targetOf('127.0.0.1', 22),
    login: { account: accountOf('somebody'), credential: password('a secret that goes nowhere') },
    lies: sshLies,
    server: () => server,
  });
  for (const { name, absent, run } of cases) test.skipIf(absent !== null)(name, run, patienceMs);

  const never = new AbortController().signal;
  const sessionOf = async (login: string, target = server.target) => {
    const as = { account: accountOf(login), credential: password(`${login}-Pass-1`) };
    const opened = await linuxPassword.connect(target, as, kindWorld().io, never);
    if (opened.kind !== 'connected') throw new Error(opened.message);
    onTestFinished(() => opened.session.close());
    return opened.session;
  };
  const opens = async (account: KindAccount, credential: Credential) =>
    (await linuxPassword.probe(server.target, { account, credential }, kindWorld().io, never)).kind;
  const limitMs = 60_000;

  test(
    'a write that the network held back until after a later one is fenced',
    async () => {
      const { account, credential: old } = await server.makeAccount();
      const [first, second] = [server.nextCredential(), server.nextCredential()];
      const proxy = await startFaultProxy(onTestFinished, server.target);
      const early = await sessionOf('admin', targetOf(proxy.host, proxy.port));
      expect(await early.mark(account)).toBe(0);
      proxy.freeze();
      const held = early.apply({ account, send: 1, next: first, old, limitMs }, never);
      const late = await sessionOf('admin');
      expect(await late.apply({ account, send: 2, next: second, old, limitMs }, never)).toEqual({ kind: 'applied' });
      proxy.thaw();
      expect((await held).kind).toBe('fenced');
      expect(await opens(account, second)).toBe('opens');
      expect(await late.mark(account)).toBe(2);
    },
    patienceMs,
  );

  test(
    'a locked account is seen by the dry run, and a write does not open it',
    async () => {
      const { account, credential } = await server.makeAccount();
      await host.run('usermod', ['-L', account.login]);
      const session = await sessionOf('admin');
      const missed = (await session.check(account)).filter(({ holds }) => !holds).map(({ what }) => what);
      expect(missed).toEqual(['the account is not locked']);
      const next = server.nextCredential();
      const order = { account, send: 1, next, old: credential, limitMs };
      expect((await session.apply(order, never)).kind).toBe('denied');
      expect(await opens(account, next)).toBe('refused');
    },
    patienceMs,
  );

  test(
    'an account whose time is over is told apart from a wrong password',
    async () => {
      const { account, credential } = await server.makeAccount();
      await host.run('usermod', ['--expiredate', '1', account.login]);
      expect(await opens(account, credential)).toBe('expired');
    },
    patienceMs,
  );
});
