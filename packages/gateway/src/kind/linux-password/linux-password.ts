import { createHash } from 'node:crypto';
import type { ApplyOutcome, KindAccount, KindSession, Precondition, TargetKind, WriteOrder } from '@sallyport/rotation';
import { isNoLogin } from '../ssh/linux-login.ts';
import { plainMessage } from '../ssh/plain-message.ts';
import { probeSsh } from '../ssh/probe-ssh.ts';
import { endLine, exits } from '../ssh/program-text.ts';
import {
  type ArmedProgram,
  armProgram,
  describeEnd,
  type RunEnd,
  runProgram,
  type SshHost,
} from '../ssh/remote-program.ts';
import { openSsh, secretsOf } from '../ssh/ssh-login.ts';
import { changeOwn } from './change-own.ts';
import { lookAtAccount, setPassword, showNumber } from './password-program.ts';

/** Reading only; the target ends it after that. */
const lookMs = 10_000;
/** Line ends end a value; other control characters mean something to a terminal, which `passwd` reads. */
const forbidden = Array.from({ length: 32 }, (_, code) => String.fromCodePoint(code)).join('') + '\u007F';
const maxPasswordChars = 256;

/** Name of the account's files on the host: its login may hold characters that no file name should. */
const fileKey = (account: KindAccount): string => createHash('sha256').update(account.login).digest('hex').slice(0, 40);

/** Why this secret cannot be set, or null. */
function unfit(password: string): string | null {
  if (password === '') return 'an empty password is none';
  if (password.length > maxPasswordChars) return `a password of over ${maxPasswordChars} characters is not taken`;
  return /\p{Cc}/u.test(password) ? 'control characters are not taken' : null;
}

const policyWords = /bad password|password (?:has been|was) already used|too (?:short|simple|similar)|pam_pwquality/i;
const unchangedWords =
  /changes ignored|not changed|does not exist|cannot lock|can't open|cannot open|read-only|permission denied/i;

/** @param end - of the program `setPassword`. */
function outcomeOf(end: RunEnd, secrets: readonly string[]): ApplyOutcome {
  const message = describeEnd(end, secrets);
  if (end.kind !== 'ended') return { kind: 'unknown', message };
  switch (end.code) {
    case 0:
      return end.stdout.endsWith('changed\n') ? { kind: 'applied' } : { kind: 'unknown', message: 'cut short' };
    case exits.fenced:
      return { kind: 'fenced', message: `the host has seen a later write (${plainMessage(end.stdout)})` };
    case exits.refused:
      if (policyWords.test(end.stderr)) return { kind: 'policy', message };
      return { kind: unchangedWords.test(end.stderr) ? 'denied' : 'unknown', message };
    case exits.cannotKeep:
    case exits.noAccount:
    case exits.locked:
    case exits.badNumber:
    case exits.missingTool:
      return { kind: 'denied', message };
    default:
      // 124 and 137: the limit was over, and chpasswd may have come as far as the change.
      return { kind: 'unknown', message };
  }
}

/** The number in a program's output; anything else is a broken promise of the host and counts as none shown. */
function numberIn(end: RunEnd): number | null {
  const match = end.kind === 'ended' ? /^number (\d{1,15})$/m.exec(end.stdout) : null;
  return match ? Number(match[1]) : null;
}

function adminSession(host: SshHost): KindSession {
  const armed = new Map<string, ArmedProgram>();
  /** Stands ready before the permit is asked for, so that the write goes out in the turn of `apply`. */
  const arm = async (account: KindAccount, signal: AbortSignal): Promise<ArmedProgram | ApplyOutcome> => {
    const ready = armed.get(account.login);
    if (ready?.isReady() === true) return ready;
    const arming = await armProgram(host, 'root', { program: setPassword }, signal);
    // Root is not to be had, or the connection is gone: either way nothing was sent.
    if (arming.kind === 'not-started')
      return { kind: host.connection.isOver() || signal.aborted ? 'unknown' : 'denied', message: arming.message };
    armed.set(account.login, arming.program);
    return arming.program;
  };
  return {
    address: host.connection.address,
    async mark(account) {
      const { signal } = new AbortController();
      const order = { values: [fileKey(account), endLine], limitMs: lookMs };
      const end = await runProgram(host, 'root', { program: showNumber }, order, signal);
      await arm(account, signal);
      return numberIn(end) ?? 0;
    },
    check: (account) => checkAsRoot(host, account),
    async apply(order, signal) {
      const no = beforehand(order);
      if (no !== null) return no;
      const password = passwordOf(order);
      const program = await arm(order.account, signal);
      if ('kind' in program) return program;
      const { login } = order.account;
      const values = [fileKey(order.account), String(order.send), login, `${login}:${password}`, endLine];
      const end = await program.run(values, order.limitMs, signal);
      return outcomeOf(end, [password, ...secretsOf(host.login.credential)]);
    },
    async close() {
      for (const program of armed.values()) program.drop();
      await host.connection.close();
    },
  };
}

const passwordOf = (order: WriteOrder): string => (order.next.kind === 'password' ? order.next.password.reveal() : '');

/** What can be said without asking the host. */
function beforehand(order: WriteOrder): ApplyOutcome | null {
  if (isNoLogin(order.account.login)) return { kind: 'denied', message: 'no account of Linux has such a name' };
  if (order.next.kind !== 'password') return { kind: 'denied', message: 'this kind sets passwords' };
  const why = unfit(order.next.password.reveal());
  return why === null ? null : { kind: 'policy', message: why };
}

async function checkAsRoot(host: SshHost, account: KindAccount): Promise<readonly Precondition[]> {
  const { signal } = new AbortController();
  if (isNoLogin(account.login))
    return [{ what: 'the login can be one of Linux', holds: false, remedy: 'Correct the login of the record.' }];
  const order = { values: [account.login, endLine], limitMs: lookMs };
  const end = await runProgram(host, 'root', { program: lookAtAccount }, order, signal);
  const isRoot = end.kind === 'ended' && end.code === 0;
  const root: Precondition = {
    what: 'the administrative credential is root, or becomes it by sudo',
    holds: isRoot,
    remedy: isRoot
      ? ''
      : `Give the administrative account sudo for all commands (${describeEnd(end, secretsOf(host.login.credential))}).`,
  };
  if (!isRoot) return [root];
  const facts = new Map(end.stdout.split('\n').map((line) => line.split(' ') as [string, string]));
  const fact = (what: string, word: string, remedy: string): Precondition => ({
    what,
    holds: facts.get(word) === 'yes',
    remedy,
  });
  return [
    root,
    fact('the account exists', 'account', 'Correct the login of the record, or make the account.'),
    fact('the account is in /etc/shadow', 'local', 'Rotate it where it is kept: by its directory.'),
    fact('the account is not locked', 'open', 'Unlock it (usermod -U), or give it a first password by hand.'),
    fact('the account has not expired', 'valid', 'Extend it (chage -E).'),
    fact('flock is there', 'flock', 'Install util-linux.'),
    fact('chpasswd is there', 'chpasswd', 'Install the package passwd (shadow-utils).'),
    fact('getent is there', 'getent', 'Install it (libc-bin, glibc-common).'),
    fact('printf is part of /bin/sh', 'printf', 'Let /bin/sh be dash, bash or busybox.'),
    fact('/etc can be written', 'writable', 'Mount it for writing.'),
  ];
}

function ownSession(host: SshHost): KindSession {
  const isOwn = (account: KindAccount): boolean => account.login === host.login.username;
  return {
    address: host.connection.address,
    mark: async () => 0,
    check: async (account) => [
      {
        what: 'the account changes itself',
        holds: isOwn(account) && host.login.credential.kind === 'password',
        remedy: 'Use the administrative credential of the resource.',
      },
    ],
    async apply(order, signal) {
      const no = beforehand(order);
      if (no !== null) return no;
      // `passwd` asks for it: what was used to log in is what the account had a moment ago.
      const { credential } = host.login;
      const old = order.old ?? credential;
      if (!isOwn(order.account) || old.kind !== 'password')
        return { kind: 'denied', message: 'an account can change only its own password, and must name the old one' };
      const texts = { old: old.password.reveal(), next: passwordOf(order), limitMs: order.limitMs };
      if (texts.old === texts.next) return { kind: 'policy', message: 'the new password is the old one' };
      return changeOwn(host, texts, signal);
    },
    close: () => host.connection.close(),
  };
}

/** Accounts of a Linux host whose passwords are in /etc/shadow, changed over SSH. */
export const linuxPassword: TargetKind = {
  description: {
    name: 'linux-password',
    title: 'Linux account over SSH: password',
    fence: { admin: 'number', own: 'compare' },
    changes: 'password',
    triedAgainst: 'OpenSSH 9.2, shadow 4.13, sudo 1.9.13 (Debian 12)',
    untried: null,
    ownCaveat:
      'If the account is locked, expired or its password set by somebody else, only root can help: nothing here can.',
  },
  serves: (target) => target.recordType === 'pamMachine',
  limits: () => ({ minLength: 1, maxLength: maxPasswordChars, forbidden, significant: null }),
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

function sessionFor(host: SshHost): KindSession {
  const [admin, own] = [adminSession(host), ownSession(host)];
  // The same connection serves both: who changes itself is asked for its old password, unless it is root.
  const pick = (account: KindAccount): KindSession =>
    account.login === host.login.username && account.login !== 'root' ? own : admin;
  return {
    address: host.connection.address,
    fence: async (account) => (pick(account) === own ? 'compare' : 'number'),
    mark: (account) => pick(account).mark(account),
    check: (account) => pick(account).check(account),
    apply: (order, signal) => pick(order.account).apply(order, signal),
    close: () => admin.close(),
  };
}
