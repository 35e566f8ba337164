import { PamError } from '@sallyport/protocol';
import type {
  ApplyOutcome,
  KindAccount,
  KindIo,
  KindSession,
  KindTarget,
  Precondition,
  Secret,
  WriteOrder,
} from '@sallyport/rotation';
import { integer, sequence } from '../ldap/ber.ts';
import { type DirectoryLogin, logIn, type OpenDirectory } from '../ldap/directory-login.ts';
import { bytesOf, type LdapEntry, valueOf, valuesOf } from '../ldap/ldap-answer.ts';
import type { AskLimits, LdapConnection, LdapReply } from '../ldap/ldap-connection.ts';
import { askWithinMs } from '../ldap/ldap-reach.ts';
import type { LdapChange, LdapControl, LdapFilter } from '../ldap/ldap-request.ts';
import { writeNumbered } from '../ldap/numbered-write.ts';
import { moveMark, readMark, type SendMark } from '../ldap/send-mark.ts';
import { lostWrite } from '../ldap/write-outcome.ts';
import { accountName, findAccount } from './account-names.ts';
import { readReset } from './directory-error.ts';
import { activeDirectoryLogin } from './login-dialect.ts';
import { hasRight, resetPasswordRight } from './security-descriptor.ts';

/** In the base schema of every forest, on every class, single-valued, shown by no common tool. */
const defaultMarkAttribute = 'adminDescription';
const disabledFlag = 0x2;

interface SeenAccount {
  readonly kind: 'entry';
  readonly entry: LdapEntry;
  readonly mark: SendMark;
  /** The login may write the attribute, and nobody else uses it. */
  readonly canMark: boolean;
}
type Looked = SeenAccount | Exclude<ApplyOutcome, { kind: 'applied' }>;

/** A connection that is logged in at a domain controller, as one who may reset passwords or as the account itself. */
export function activeDirectorySession(
  target: KindTarget,
  login: DirectoryLogin,
  open: OpenDirectory,
  io: KindIo,
  signal: AbortSignal,
): KindSession {
  const { connection } = open;
  const markAttribute = target.custom['ldapMarkAttribute'] ?? defaultMarkAttribute;
  const attributes = [markAttribute, 'allowedAttributesEffective', 'userAccountControl', 'pwdLastSet'];
  /** What was read before the permit: the write then goes out in the turn of the call. */
  const seen = new Map<string, SeenAccount>();
  const ownName = accountName(login.account);
  const isOwn = (account: KindAccount): boolean => accountName(account) === ownName;

  async function look(account: KindAccount, limits: AskLimits): Promise<Looked> {
    const reply = await askAccount(connection, account, attributes, limits);
    if (reply.kind === 'lost') return { kind: 'unknown', message: reply.why };
    const [entry, other] = reply.entries;
    if (entry === undefined)
      return { kind: 'denied', message: 'there is no such account, or the login has no right to see it' };
    if (other !== undefined)
      return { kind: 'denied', message: 'more than one account has this name: give its distinguished name' };
    const mark = readMark(markAttribute, valuesOf(entry, markAttribute));
    const writable = valuesOf(entry, 'allowedAttributesEffective').map((name) => name.toLowerCase());
    const canMark = writable.includes(markAttribute.toLowerCase()) && !mark.hasOthers;
    const looked: SeenAccount = { kind: 'entry', entry, mark, canMark };
    seen.set(accountName(account), looked);
    return looked;
  }

  const known = async (account: KindAccount, limits: AskLimits): Promise<Looked> =>
    seen.get(accountName(account)) ?? (await look(account, limits));

  async function modify(
    entry: LdapEntry,
    changes: readonly LdapChange[],
    namedOld: boolean,
    secrets: readonly Secret[],
    limits: AskLimits,
  ): Promise<ApplyOutcome> {
    const reply = await connection.ask({ kind: 'modify', entry: entry.name, changes, controls: [] }, limits);
    return reply.kind === 'lost' ? lostWrite(reply) : readReset(reply.result, namedOld, secrets);
  }

  async function reset(order: WriteOrder, password: Secret, limits: AskLimits): Promise<ApplyOutcome> {
    const looked = await known(order.account, limits);
    if (looked.kind !== 'entry') return looked;
    const { entry } = looked;
    const secrets = [password, open.password];
    const replaced: LdapChange = { operation: 'replace', attribute: 'unicodePwd', values: [quoted(password)] };
    if (!looked.canMark) return await modify(entry, [replaced], false, secrets, limits);
    return await writeNumbered({
      send: order.send,
      seen: looked.mark,
      look: async () => {
        const again = await look(order.account, limits);
        return again.kind === 'entry' ? { kind: 'seen', mark: again.mark } : again;
      },
      write: (mark) => modify(entry, [...moveMark(mark, order.send), replaced], false, secrets, limits),
    });
  }

  async function change(order: WriteOrder, password: Secret, limits: AskLimits): Promise<ApplyOutcome> {
    if (order.old?.kind !== 'password')
      return { kind: 'denied', message: 'an account changes itself by naming its old password' };
    const looked = await known(order.account, limits);
    if (looked.kind !== 'entry') return looked;
    const changes: readonly LdapChange[] = [
      { operation: 'delete', attribute: 'unicodePwd', values: [quoted(order.old.password)] },
      { operation: 'add', attribute: 'unicodePwd', values: [quoted(password)] },
    ];
    return await modify(looked.entry, changes, true, [password, order.old.password, open.password], limits);
  }

  return {
    address: open.address,
    async mark(account) {
      if (isOwn(account)) return 0;
      const looked = await look(account, { withinMs: askWithinMs, signal });
      if (looked.kind === 'unknown') throw new PamError('PAM_TARGET_RESET', looked.message);
      return looked.kind === 'entry' ? looked.mark.number : 0;
    },
    async fence(account) {
      if (isOwn(account)) return 'compare';
      const looked = await known(account, { withinMs: askWithinMs, signal });
      return looked.kind === 'entry' && looked.canMark ? 'number' : 'none';
    },
    async check(account) {
      const looked = await look(account, { withinMs: askWithinMs, signal });
      if (looked.kind !== 'entry') return [notReadable(looked.message)];
      const seenSoFar = [readable, enabledOf(looked)];
      return isOwn(account) ? seenSoFar : [...seenSoFar, await mayReset(looked.entry), fenceOf(looked)];
    },
    async apply(order, applySignal) {
      if (order.next.kind !== 'password') return { kind: 'denied', message: 'a directory account has a password' };
      const limits = { withinMs: order.limitMs, signal: applySignal };
      const { password } = order.next;
      return isOwn(order.account) ? await change(order, password, limits) : await reset(order, password, limits);
    },
    async agrees(replica, account, agreeSignal) {
      if (isOwn(account)) return false;
      const limits = { withinMs: askWithinMs, signal: agreeSignal };
      const there = await logIn(activeDirectoryLogin, target, login, io, agreeSignal, replica);
      if (there.kind !== 'open') return false;
      try {
        const ours = setAt(await askAccount(connection, account, ['pwdLastSet'], limits));
        return ours !== null && ours === setAt(await askAccount(there.connection, account, ['pwdLastSet'], limits));
      } finally {
        there.connection.close();
      }
    },
    async close() {
      connection.close();
    },
  };

  /** A login that may only reset is good enough: what it lacks is said, and is no reason to refuse. */
  function fenceOf({ canMark, mark }: SeenAccount): Precondition {
    const why = mark.hasOthers ? `${markAttribute} is used for something else` : `no write on ${markAttribute}`;
    const what = canMark
      ? `late resets are fenced by a number in ${markAttribute}`
      : `late resets are only found by the re-checks (${why})`;
    return { what, holds: true, remedy: '' };
  }

  /** Reads who may do what with the account, and who this login is: nothing is tried. */
  async function mayReset(entry: LdapEntry): Promise<Precondition> {
    const limits = { withinMs: askWithinMs, signal };
    const base = { kind: 'search', scope: 'base', filter: anyEntry, sizeLimit: 1, timeLimit: 10 } as const;
    const root = await connection.ask({ ...base, base: '', attributes: ['tokenGroups'] }, limits);
    const rights = await connection.ask(
      { ...base, base: entry.name, attributes: ['nTSecurityDescriptor'], controls: [rightsAlone] },
      limits,
    );
    const sids = bytesIn(root, 'tokenGroups');
    const [descriptor] = bytesIn(rights, 'nTSecurityDescriptor');
    const may = descriptor === undefined || sids.length === 0 ? null : hasRight(descriptor, sids, resetPasswordRight);
    const what = 'the login may reset the password';
    if (may === null) return { what, holds: false, remedy: 'Grant Read Permissions, so that the rights can be seen.' };
    return { what, holds: may, remedy: may ? '' : 'Grant the right Reset Password.' };
  }
}

const readable: Precondition = { what: 'the account can be read', holds: true, remedy: '' };

function enabledOf({ entry }: SeenAccount): Precondition {
  const flags = Number(valueOf(entry, 'userAccountControl') ?? Number.NaN);
  const holds = Number.isNaN(flags) || (flags & disabledFlag) === 0;
  return { what: 'the account is enabled', holds, remedy: holds ? '' : 'Enable it, or take it out of rotation.' };
}

/** LDAP_SERVER_SD_FLAGS ([MS-ADTS] 3.1.1.3.4.1.11): the list of rights without owner and audit, which few may read. */
const rightsAlone: LdapControl = {
  oid: '1.2.840.113556.1.4.801',
  isCritical: true,
  value: sequence(integer(0x4)),
};

const notReadable = (why: string): Precondition => ({
  what: 'the account can be read',
  holds: false,
  remedy: `${why}.`,
});

/** The value of `unicodePwd`: in quotes, UTF-16 ([MS-ADTS] 3.1.1.3.1.5.1). */
const quoted = (password: Secret): Buffer => Buffer.from(`"${password.reveal()}"`, 'utf16le');

const anyEntry: LdapFilter = { kind: 'present', attribute: 'objectClass' };

async function askAccount(
  connection: LdapConnection,
  account: KindAccount,
  attributes: readonly string[],
  limits: AskLimits,
): Promise<LdapReply> {
  const found = findAccount(account);
  const rest = { kind: 'search', attributes, timeLimit: 10 } as const;
  if ('name' in found)
    return await connection.ask({ ...rest, base: found.name, scope: 'base', filter: anyEntry, sizeLimit: 1 }, limits);
  const root = await connection.ask(
    { ...rest, base: '', scope: 'base', filter: anyEntry, attributes: ['defaultNamingContext'], sizeLimit: 1 },
    limits,
  );
  const [entry] = root.kind === 'replied' ? root.entries : [];
  if (entry === undefined) return root;
  const base = valueOf(entry, 'defaultNamingContext') ?? '';
  return await connection.ask({ ...rest, base, scope: 'sub', filter: found.filter, sizeLimit: 2 }, limits);
}

function setAt(reply: LdapReply): string | null {
  const entry = reply.kind === 'replied' ? reply.entries[0] : undefined;
  return entry === undefined ? null : valueOf(entry, 'pwdLastSet');
}

function bytesIn(reply: LdapReply, attribute: string): readonly Buffer[] {
  const entry = reply.kind === 'replied' ? reply.entries[0] : undefined;
  return entry === undefined ? [] : bytesOf(entry, attribute);
}
