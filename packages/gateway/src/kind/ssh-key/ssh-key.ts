import { createHash } from 'node:crypto';
import { PamError } from '@sallyport/protocol';
import type { ApplyOutcome, Credential, KindAccount, KindSession, Precondition, TargetKind } from '@sallyport/rotation';
import { isNoLogin } from '../ssh/linux-login.ts';
import { plainMessage } from '../ssh/plain-message.ts';
import { probeSsh } from '../ssh/probe-ssh.ts';
import { endLine, exits } from '../ssh/program-text.ts';
import { describeEnd, type RunEnd, runProgram, type SshHost } from '../ssh/remote-program.ts';
import { openSsh, secretsOf } from '../ssh/ssh-login.ts';
import { addKey, becomeAccount, lookAtKeys, retireKeys } from './authorized-keys-program.ts';

const limitMs = 10_000;

/** Comment that marks a key as ours; other keys of the account are never touched. */
const labelOf = (account: KindAccount): string =>
  `sallyport:${createHash('sha256').update(account.login).digest('hex').slice(0, 24)}`;

const publicKeyPattern = /^(?:ssh|ecdsa|sk)-[\w@.-]+ [A-Za-z0-9+/]+={0,3}$/;

/** Type and key without a comment; '' for what is no public key in OpenSSH's form. */
function publicKeyOf(credential: Credential | null): string {
  if (credential?.kind !== 'ssh-key') return '';
  const key = credential.publicKey.trim().split(/\s+/).slice(0, 2).join(' ');
  return publicKeyPattern.test(key) ? key : '';
}

function outcomeOf(end: RunEnd, secrets: readonly string[], isOver: boolean): ApplyOutcome {
  const message = describeEnd(end, secrets);
  if (end.kind === 'not-started') return { kind: isOver ? 'unknown' : 'denied', message };
  if (end.kind === 'lost') return { kind: 'unknown', message };
  switch (end.code) {
    case 0:
      return end.stdout.endsWith('changed\n') ? { kind: 'applied' } : { kind: 'unknown', message: 'cut short' };
    case exits.fenced:
      return { kind: 'fenced', message: `the account has a key of a later write (${plainMessage(end.stdout)})` };
    case exits.cannotKeep:
    case exits.noAccount:
    case exits.missingTool:
    case exits.noHome:
      return { kind: 'denied', message };
    default:
      return { kind: 'unknown', message };
  }
}

function sessionFor(host: SshHost): KindSession {
  const secrets = secretsOf(host.login.credential);
  /** As the account: at once when it is the one that is logged in, else by root. */
  const runAs = (
    account: KindAccount,
    program: string,
    values: readonly string[],
    within: number,
    signal: AbortSignal,
  ): Promise<RunEnd> =>
    account.login === host.login.username
      ? runProgram(host, 'self', { program }, { values, limitMs: within }, signal)
      : runProgram(
          host,
          'root',
          { program: becomeAccount, inner: program },
          { values: [account.login, ...values], limitMs: within },
          signal,
        );
  return {
    address: host.connection.address,
    mark: async () => 0,
    async check(account) {
      if (isNoLogin(account.login))
        return [{ what: 'the login can be one of Linux', holds: false, remedy: 'Correct the login of the record.' }];
      const old = account.login === host.login.username ? publicKeyOf(host.login.credential) : '';
      const end = await runAs(account, lookAtKeys, [old, endLine], limitMs, new AbortController().signal);
      return preconditions(end, secrets);
    },
    async apply(order, signal) {
      if (isNoLogin(order.account.login)) return { kind: 'denied', message: 'no account of Linux has such a name' };
      const next = publicKeyOf(order.next);
      if (next === '') return { kind: 'denied', message: 'this kind sets public keys in the form of OpenSSH' };
      const old = publicKeyOf(order.old);
      const values = [labelOf(order.account), String(order.send), next, old === next ? '' : old, endLine];
      const end = await runAs(order.account, addKey, values, order.limitMs, signal);
      return outcomeOf(end, secrets, host.connection.isOver() || signal.aborted);
    },
    async retire(account, keep, signal) {
      const key = publicKeyOf(keep);
      if (key === '' || isNoLogin(account.login))
        return { kind: 'denied', message: 'the key to keep has no public half' };
      const end = await runAs(account, retireKeys, [labelOf(account), key, endLine], limitMs, signal);
      const removed = end.kind === 'ended' && end.code === 0 ? /^removed (\d{1,6})$/m.exec(end.stdout)?.[1] : undefined;
      if (removed !== undefined) return { kind: 'retired', removed: Number(removed) };
      const message = `older keys could not be removed: ${describeEnd(end, secrets)}`;
      if (end.kind === 'ended' && end.code !== 0) return { kind: 'denied', message };
      throw new PamError('PAM_TARGET_RESET', message);
    },
    close: () => host.connection.close(),
  };
}

function preconditions(end: RunEnd, secrets: readonly string[]): readonly Precondition[] {
  const isThere = end.kind === 'ended' && end.code === 0;
  const reached: Precondition = {
    what: 'the account can be worked as: it is logged in itself, or root by sudo becomes it',
    holds: isThere,
    remedy: isThere ? '' : `Give the administrative account sudo for all commands (${describeEnd(end, secrets)}).`,
  };
  if (!isThere) return [reached];
  const facts = new Map(end.stdout.split('\n').map((line) => line.split(' ') as [string, string]));
  const fact = (what: string, word: string, remedy: string): Precondition => ({
    what,
    holds: facts.get(word) === 'yes',
    remedy,
  });
  return [
    reached,
    fact('the account has a home', 'home', 'Make its home folder.'),
    fact('~/.ssh can be written', 'writable', 'Give ~/.ssh to the account (chown), and mount it for writing.'),
    fact('~/.ssh/authorized_keys can be written', 'file', 'Give the file to the account, without chattr +i.'),
    fact('flock is there', 'flock', 'Install util-linux.'),
    ...(facts.has('known')
      ? [
          fact(
            'the present key is in ~/.ssh/authorized_keys',
            'known',
            'Keys from another place (AuthorizedKeysFile, AuthorizedKeysCommand, a certificate) are not rotated.',
          ),
        ]
      : []),
  ];
}

/** Keys in `~/.ssh/authorized_keys` of an account of a Linux host. */
export const sshKey: TargetKind = {
  description: {
    name: 'ssh-key',
    title: 'Linux account over SSH: key in authorized_keys',
    fence: { admin: 'additive', own: 'additive' },
    changes: 'ssh-key',
    triedAgainst: 'OpenSSH 9.2, sudo 1.9.13 (Debian 12)',
    untried: null,
    ownCaveat: 'If the present key no longer opens the account, nothing here can add another: an administrator has to.',
  },
  serves: (target) => target.recordType === 'pamMachine',
  // Keys are made, not drawn from characters.
  limits: () => ({ minLength: 1, maxLength: 16_384, forbidden: '', significant: null }),
  async connect(target, { account, credential }, io, signal) {
    const login = { username: account.login, credential };
    const opened = await openSsh(target, login, io, signal);
    if (opened.kind !== 'connected') return opened;
    return { kind: 'connected', session: sessionFor({ connection: opened.connection, login, io }) };
  },
  probe: (target, { account, credential }, io, signal) =>
    probeSsh(target, { username: account.login, credential }, io, signal),
  accountName: (account) => account.login,
};
