import { randomBytes } from 'node:crypto';
import { PamError } from '@sallyport/protocol';
import {
  type ApplyOutcome,
  type KindAccount,
  type KindIo,
  type KindSession,
  type KindTarget,
  type Precondition,
  Secret,
  type WriteOrder,
} from '@sallyport/rotation';
import { bind, type DirectoryLogin, logIn, type OpenDirectory } from '../ldap/directory-login.ts';
import { canonicalName } from '../ldap/distinguished-name.ts';
import { type LdapEntry, type LdapResult, resultCodes, valueOf, valuesOf } from '../ldap/ldap-answer.ts';
import type { AskLimits, LdapReply } from '../ldap/ldap-connection.ts';
import { askWithinMs } from '../ldap/ldap-reach.ts';
import { assertionOid, type LdapChange, type LdapControl, onlyWhile } from '../ldap/ldap-request.ts';
import { writeNumbered } from '../ldap/numbered-write.ts';
import { moveMark, readMark, type SendMark, markStands } from '../ldap/send-mark.ts';
import { lostWrite, readWrite } from '../ldap/write-outcome.ts';
import { askPolicy, policyErrorOf, policyErrors } from './password-policy.ts';
import { entryName, openldapLogin } from './read-login.ts';
import { decideForm, type PasswordForm, storedForm } from './stored-password.ts';

/** Allowed to every class of people and devices that has a password, and may hold several values. */
const defaultMarkAttribute = 'description';
/** Runs the whole Modify, access and policy included, and takes it back. OpenLDAP only, so it is asked for nowhere else. */
const takeBack: LdapControl = { oid: '1.3.6.1.4.1.4203.666.5.2', isCritical: true, value: null };

interface SeenEntry {
  readonly kind: 'entry';
  readonly entry: LdapEntry;
  readonly mark: SendMark;
  readonly form: PasswordForm;
}
type MadeForm = Exclude<PasswordForm, { kind: 'impossible' }>;
type Looked = SeenEntry | Exclude<ApplyOutcome, { kind: 'applied' }>;
/** How one account is changed by this login: everything of a Modify but the password. */
interface Change {
  readonly form: MadeForm;
  readonly changes: readonly LdapChange[];
  readonly controls: readonly LdapControl[];
}

/** A connection that is logged in at an OpenLDAP server, as an administrator or as the account itself. */
export function openldapSession(
  target: KindTarget,
  login: DirectoryLogin,
  open: OpenDirectory,
  io: KindIo,
  signal: AbortSignal,
): KindSession {
  const { connection } = open;
  const markAttribute = target.custom['ldapMarkAttribute'] ?? defaultMarkAttribute;
  const setting = target.custom['ldapPasswordHash'];
  /** What was read before the permit: the write then goes out in the turn of the call. */
  const seen = new Map<string, SeenEntry>();
  const isOwn = (account: KindAccount): boolean => nameOf(account) === canonicalName(open.bindName);

  async function look(account: KindAccount, limits: AskLimits): Promise<Looked> {
    const base = entryName(account);
    if (base === null) return { kind: 'denied', message: 'the record names no distinguished name' };
    const reply = await connection.ask(readOf(base, [markAttribute, 'userPassword', 'entryCSN']), limits);
    if (reply.kind === 'lost') return { kind: 'unknown', message: reply.why };
    const [entry] = reply.entries;
    if (entry === undefined)
      return { kind: 'denied', message: 'there is no such account, or the login has no right to see it' };
    const mark = readMark(markAttribute, valuesOf(entry, markAttribute));
    const form = decideForm(setting, valuesOf(entry, 'userPassword'));
    const looked: SeenEntry = { kind: 'entry', entry, mark, form };
    seen.set(nameOf(account), looked);
    return looked;
  }

  function modify(account: KindAccount, change: Change, limits: AskLimits): Promise<LdapReply> {
    const controls = [askPolicy, ...change.controls];
    return connection.ask(
      { kind: 'modify', entry: entryName(account) ?? '', changes: change.changes, controls },
      limits,
    );
  }

  const markedChange = (mark: SendMark, send: number, form: MadeForm, password: Secret): Change => ({
    form,
    changes: [...moveMark(mark, send), replacePassword(storedForm(form, password))],
    controls: [onlyWhile(markStands(mark))],
  });

  async function writeAsAdmin(order: WriteOrder, password: Secret, limits: AskLimits): Promise<ApplyOutcome> {
    const first = seen.get(nameOf(order.account)) ?? (await look(order.account, limits));
    if (first.kind !== 'entry') return first;
    const { form } = first;
    if (form.kind === 'impossible') return { kind: 'denied', message: form.why };
    return await writeNumbered({
      send: order.send,
      seen: first.mark,
      look: async () => {
        const looked = await look(order.account, limits);
        return looked.kind === 'entry' ? { kind: 'seen', mark: looked.mark } : looked;
      },
      write: async (mark) => {
        const reply = await modify(order.account, markedChange(mark, order.send, form, password), limits);
        return reply.kind === 'lost' ? lostWrite(reply) : readModify(reply.result, form, [password, open.password]);
      },
    });
  }

  /** The change names the old password, or stands on the state of the entry in which the old one opened. */
  async function ownChange(
    account: KindAccount,
    password: Secret,
    limits: AskLimits,
  ): Promise<Change | Exclude<ApplyOutcome, { kind: 'applied' }>> {
    const looked = seen.get(nameOf(account)) ?? (await look(account, limits));
    if (looked.kind !== 'entry') return looked;
    const { form, entry } = looked;
    if (form.kind === 'impossible') return { kind: 'denied', message: form.why };
    const attribute = 'userPassword';
    if (form.kind === 'clear')
      return {
        form,
        changes: [
          { operation: 'delete', attribute, values: [open.password.reveal()] },
          { operation: 'add', attribute, values: [password.reveal()] },
        ],
        controls: [],
      };
    const csn = valueOf(entry, 'entryCSN');
    if (csn === null)
      return { kind: 'denied', message: 'the account may not read its entryCSN, which fences the change' };
    // The state was read under a password that may have moved just before: whoever opens now, opens in a state not older.
    const refused = await bind(connection, openldapLogin, open.bindName, open.password, limits);
    if (refused !== null)
      return refused.kind === 'refused' ? fencedByOld : { kind: 'unknown', message: refused.message };
    return {
      form,
      changes: [replacePassword(storedForm(form, password))],
      controls: [onlyWhile({ kind: 'equals', attribute: 'entryCSN', value: csn })],
    };
  }

  async function writeAsOwn(order: WriteOrder, password: Secret, limits: AskLimits): Promise<ApplyOutcome> {
    if (order.old?.kind !== 'password' || !order.old.password.equals(open.password)) return fencedByOld;
    const change = await ownChange(order.account, password, limits);
    if ('kind' in change) return change;
    const reply = await modify(order.account, change, limits);
    if (reply.kind === 'lost') return lostWrite(reply);
    // An old password was supplied: it is another one now.
    const wantsOld = policyErrorOf(reply.result) === policyErrors.oldPasswordNeeded;
    const namesOld = change.controls.length === 0;
    if (namesOld && (wantsOld || reply.result.code === resultCodes.noSuchAttribute)) return fencedByOld;
    return readModify(reply.result, change.form, [password, open.password]);
  }

  async function rehearse(account: KindAccount, limits: AskLimits): Promise<readonly Precondition[]> {
    const looked = await look(account, limits);
    if (looked.kind !== 'entry')
      return [{ what: 'the account can be read', holds: false, remedy: `${looked.message}: grant read on the entry.` }];
    const readable = { what: 'the account can be read', holds: true, remedy: '' };
    const { form, mark } = looked;
    const stored = valuesOf(looked.entry, 'userPassword');
    const hashed: Precondition = {
      what: 'passwords are kept hashed',
      holds: form.kind !== 'impossible' && stored.every((value) => value.startsWith('{')),
      remedy: form.kind === 'impossible' ? form.why : 'Set ppolicy_hash_cleartext at the server.',
    };
    if (form.kind === 'impossible') return [readable, hashed];
    const trial = new Secret(`Aa1-${randomBytes(24).toString('base64url')}`);
    const change = isOwn(account)
      ? await ownChange(account, trial, limits)
      : markedChange(mark, mark.number + 1, form, trial);
    const outcome = 'kind' in change ? change : await tryOut(account, change, limits);
    const writable = `the login may change the password${isOwn(account) ? '' : ` and ${markAttribute}`}, by policy too`;
    const remedy = outcome.kind === 'applied' ? '' : `${outcome.message}.`;
    return [readable, hashed, { what: writable, holds: outcome.kind === 'applied', remedy }];
  }

  async function tryOut(account: KindAccount, change: Change, limits: AskLimits): Promise<ApplyOutcome> {
    const asked = { ...change, controls: [...change.controls, takeBack] };
    const reply = await modify(account, asked, limits);
    if (reply.kind === 'lost') return lostWrite(reply);
    if (reply.result.code === resultCodes.noOperation) return { kind: 'applied' };
    return readModify(reply.result, change.form, [open.password]);
  }

  async function serverStands(limits: AskLimits): Promise<readonly Precondition[]> {
    const reply = await connection.ask(readOf('', ['objectClass', 'supportedControl']), limits);
    const root = reply.kind === 'replied' ? reply.entries[0] : undefined;
    const classes = root === undefined ? [] : valuesOf(root, 'objectClass').map((name) => name.toLowerCase());
    const controls = root === undefined ? [] : valuesOf(root, 'supportedControl');
    return [
      {
        what: 'the server is OpenLDAP',
        holds: classes.includes('openldaprootdse'),
        remedy: 'Let the login read the root entry; other servers need a kind of their own.',
      },
      {
        what: 'a change can be made conditional (RFC 4528)',
        holds: controls.includes(assertionOid),
        remedy: 'Use a server with the assertion control.',
      },
    ];
  }

  return {
    address: open.address,
    async mark(account) {
      if (isOwn(account)) return 0;
      const looked = await look(account, { withinMs: askWithinMs, signal });
      if (looked.kind === 'unknown') throw new PamError('PAM_TARGET_RESET', looked.message);
      return looked.kind === 'entry' ? looked.mark.number : 0;
    },
    async check(account) {
      const limits = { withinMs: askWithinMs, signal };
      const server = await serverStands(limits);
      // What is tried out below is taken back by OpenLDAP: nothing is tried out elsewhere.
      return server.every(({ holds }) => holds) ? [...server, ...(await rehearse(account, limits))] : server;
    },
    async apply(order, applySignal) {
      if (order.next.kind !== 'password') return { kind: 'denied', message: 'a directory account has a password' };
      const limits = { withinMs: order.limitMs, signal: applySignal };
      const { password } = order.next;
      return isOwn(order.account)
        ? await writeAsOwn(order, password, limits)
        : await writeAsAdmin(order, password, limits);
    },
    async agrees(replica, account, agreeSignal) {
      const limits = { withinMs: askWithinMs, signal: agreeSignal };
      const base = entryName(account);
      if (base === null || isOwn(account)) return false;
      const there = await logIn(openldapLogin, target, login, io, agreeSignal, replica);
      if (there.kind !== 'open') return false;
      try {
        const [ours, theirs] = [
          await connection.ask(readOf(base, ['entryCSN']), limits),
          await there.connection.ask(readOf(base, ['entryCSN']), limits),
        ];
        const csn = csnOf(ours);
        return csn !== null && csn === csnOf(theirs);
      } finally {
        there.connection.close();
      }
    },
    async close() {
      connection.close();
    },
  };
}

const fencedByOld: Exclude<ApplyOutcome, { kind: 'applied' }> = {
  kind: 'fenced',
  message: 'the account has another password than the one named as old',
};

const nameOf = (account: KindAccount): string => canonicalName(entryName(account) ?? account.login);

const replacePassword = (value: string): LdapChange => ({
  operation: 'replace',
  attribute: 'userPassword',
  values: [value],
});

function readOf(base: string, attributes: readonly string[]) {
  const filter = { kind: 'present', attribute: 'objectClass' } as const;
  return { kind: 'search', base, scope: 'base', filter, attributes, sizeLimit: 1, timeLimit: 10 } as const;
}

function csnOf(reply: LdapReply): string | null {
  const entry = reply.kind === 'replied' ? reply.entries[0] : undefined;
  return entry === undefined ? null : valueOf(entry, 'entryCSN');
}

const policyRefusal = (outcome: ApplyOutcome): ApplyOutcome =>
  outcome.kind === 'policy' ? outcome : { kind: 'policy', message: 'the policy refuses this password' };

/** The password policy's own word first: its errors share one result code. */
function readModify(result: LdapResult, form: MadeForm, secrets: readonly Secret[]): ApplyOutcome {
  const outcome = readWrite(result, secrets);
  switch (policyErrorOf(result)) {
    case policyErrors.tooYoung:
      return { kind: 'denied', message: 'the password was changed too short a while ago for the policy' };
    case policyErrors.changeNotAllowed:
      return { kind: 'denied', message: 'the policy does not let this login change the password' };
    case policyErrors.oldPasswordNeeded:
      return { kind: 'denied', message: 'the policy wants the old password: set ldapPasswordHash to server' };
    case policyErrors.insufficientQuality:
      if (form.kind === 'hashed')
        return {
          kind: 'denied',
          message: 'the policy wants to see the password itself: set ldapPasswordHash to server',
        };
      return policyRefusal(outcome);
    case policyErrors.tooShort:
    case policyErrors.inHistory:
      return policyRefusal(outcome);
    default:
      return outcome;
  }
}
