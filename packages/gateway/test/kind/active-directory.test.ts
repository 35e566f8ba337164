import { randomBytes } from 'node:crypto';
import { type KindAccount, type KindSession, type KindTarget, Secret, type TargetKind } from '@sallyport/rotation';
import {
  kindCases,
  kindWorld,
  type KindLab,
  type KindLogin,
  type KindServer,
  modifyMessage,
  readKey,
  requireTarget,
  type SambaTarget,
  startHoldingProxy,
  startSamba,
} from '@sallyport/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inTreeKinds } from '../../src/kind/index.ts';

const presence = requireTarget('samba');
const kind = inTreeKinds.find(({ description }) => description.name === 'active-directory') as TargetKind;

const never = (): AbortSignal => new AbortController().signal;
const secretText = (): string => `Kd-${randomBytes(12).toString('base64url')}-7a`;
const password = (text = secretText()) => ({ kind: 'password', password: new Secret(text) }) as const;
const accountOf = (user: string): KindAccount => ({
  login: `${user}@lab.test`,
  distinguishedName: null,
  database: null,
  custom: {},
});
const targetOf = (host: string, port: number): KindTarget => ({
  host,
  port,
  identity: null,
  useTls: true,
  recordType: 'pamDirectory',
  databaseType: null,
  directoryType: 'active_directory',
  domain: 'lab.test',
  replicas: [],
  custom: {},
});

/** A user name of a domain may hold neither `" / \ [ ] : ; | = , + * ? < >` nor what does not print. */
const hostileUsers = ["o'brien", '$(id)', '%s%n', '(!(x))', 'Ünï ☃', 'a & b', '`id`', '--help'];

const endings: (() => Promise<void> | void)[] = [];
const later = (work: () => Promise<void> | void): void => void endings.push(work);
afterAll(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

let samba: SambaTarget | undefined;
function dc(): SambaTarget {
  if (samba === undefined) throw new Error('Samba is not started');
  return samba;
}

/** `by`: whose right decides the fence: who may write adminDescription, or who may only reset. */
function labOf(by: 'rotator' | 'resetter'): KindLab {
  let made = 0;
  const makeAccount: KindServer['makeAccount'] = async (user) => {
    made += 1;
    const [name, text] = [user ?? `${by}-person-${made}`, secretText()];
    await dc().addPerson(name, text);
    return { account: accountOf(name), credential: password(text) };
  };
  const nameOf = (account: KindAccount): string => `CN=${account.login.split('@')[0]},CN=Users,DC=lab,DC=test`;
  const server: KindServer = {
    get target() {
      return targetOf(dc().host, dc().port);
    },
    get admin(): KindLogin {
      const servant = dc()[by];
      return { account: { ...accountOf(''), login: servant.login }, credential: password(servant.password) };
    },
    makeAccount,
    nextCredential: () => password(),
    attempts: (account) => dc().attempts(account.login),
    weak: async () => password('short'),
    lock: (account) => dc().lockOut(account.login),
    expire: (account) =>
      dc().modify(nameOf(account), [
        ['replace', 'pwdLastSet'],
        ['pwdLastSet', '0'],
      ]),
    powerless: () => makeAccount(),
    missing: async () => accountOf('nobody-of-this-name'),
    hold: async () => {
      const proxy = await startHoldingProxy(later, dc(), readKey(dc()), modifyMessage);
      return {
        target: targetOf(proxy.host, proxy.port),
        waiting: proxy.waiting,
        release: async () => proxy.release(),
        passes: true,
      };
    },
    log: async () => dc().log(),
    hostileLogins: () => hostileUsers,
  };
  return {
    // The fence is the login's: the suite is told the one that this login has.
    kind: {
      ...kind,
      description: { ...kind.description, fence: { admin: by === 'rotator' ? 'number' : 'none', own: 'compare' } },
    },
    absent: {
      limit: 'LDAP gives a Modify no time limit; `number` and `compare` hold however late it is',
      readOnly: 'a Samba domain controller of this version cannot be made read-only while it runs',
    },
    target: targetOf('127.0.0.1', 636),
    login: { account: { ...accountOf(''), login: 'somebody' }, credential: password() },
    lies: { 'a greeting nobody asked for': Buffer.from('300c02010161070a010004000400', 'hex') },
    server: () => server,
  };
}

describe.skipIf(presence.isMissing)('active-directory', () => {
  beforeAll(async () => {
    samba = await startSamba(later);
  }, 240_000);

  describe('who may write adminDescription resets by number', () => {
    for (const { name, absent, run } of kindCases(labOf('rotator'))) test.skipIf(absent !== null)(name, run, 120_000);
  });

  describe('who may only reset has no fence', () => {
    const cases = kindCases(labOf('resetter')).filter(({ name }) => /^(admin:|a dry run)/.test(name));
    for (const { name, absent, run } of cases) test.skipIf(absent !== null)(name, run, 120_000);
  });

  test('each login is told the fence that it can hold', async () => {
    const { account, credential } = await labOf('rotator').server().makeAccount();
    const fences = [];
    for (const login of [labOf('rotator').server().admin, labOf('resetter').server().admin, { account, credential }]) {
      const session = await openAs(login, targetOf(dc().host, dc().port));
      fences.push(await session.fence?.(account));
      await session.close();
    }
    expect(fences).toEqual(['number', 'none', 'compare']);
  });

  test('a dry run asks for no change, and knows from the rights who may reset', async () => {
    const { account, credential } = await labOf('rotator').server().makeAccount('looked-at');
    const name = 'CN=looked-at,CN=Users,DC=lab,DC=test';
    const state = async () =>
      Promise.all(['uSNChanged', 'pwdLastSet', 'badPwdCount', 'whenChanged'].map((one) => dc().read(name, one)));
    const before = await state();
    const answers = [];
    for (const login of [
      labOf('rotator').server().admin,
      labOf('resetter').server().admin,
      await labOf('rotator').server().makeAccount('onlooker'),
    ]) {
      const session = await openAs(login, targetOf(dc().host, dc().port));
      const found = await session.check(account);
      answers.push(found.find(({ what }) => what === 'the login may reset the password')?.holds);
      await session.close();
    }
    expect(answers).toEqual([true, true, false]);
    expect(await state()).toEqual(before);
    const outcome = await kind.probe(targetOf(dc().host, dc().port), { account, credential }, kindWorld().io, never());
    expect(outcome.kind).toBe('opens');
  });

  test('an attribute that somebody else uses is left as it is, and the reset goes without a number', async () => {
    const lab = labOf('rotator').server();
    const { account } = await lab.makeAccount('annotated');
    const name = 'CN=annotated,CN=Users,DC=lab,DC=test';
    await dc().modify(name, [
      ['replace', 'adminDescription'],
      ['adminDescription', 'ask the desk'],
    ]);
    const session = await openAs(lab.admin, targetOf(dc().host, dc().port));
    const next = lab.nextCredential();
    expect(await session.fence?.(account)).toBe('none');
    expect(await session.apply({ account, send: 1, next, old: null, limitMs: 30_000 }, never())).toEqual({
      kind: 'applied',
    });
    await session.close();
    expect(await dc().read(name, 'adminDescription')).toEqual(['ask the desk']);
    expect(
      (await kind.probe(targetOf(dc().host, dc().port), { account, credential: next }, kindWorld().io, never())).kind,
    ).toBe('opens');
  });

  test('names of one account, with StartTLS on 389 too, open by one password', async () => {
    const { credential } = await labOf('rotator').server().makeAccount('many-names');
    const answers = [];
    for (const login of [
      'many-names',
      'many-names@lab.test',
      'LAB\\many-names',
      'CN=many-names,CN=Users,DC=lab,DC=test',
    ]) {
      const account = { ...accountOf(''), login };
      const world = kindWorld();
      answers.push(
        (await kind.probe(targetOf(dc().host, dc().plainPort), { account, credential }, world.io, never())).kind,
      );
      await world.allClosed();
      expect(world.identities).toHaveLength(1);
    }
    expect(answers).toEqual(['opens', 'opens', 'opens', 'opens']);
  });

  test('a controller agrees when it shows the time of the change', async () => {
    const lab = labOf('rotator').server();
    const { account } = await lab.makeAccount('replicated');
    const session = await openAs(lab.admin, targetOf(dc().host, dc().port));
    const here = { host: dc().host, port: dc().port };
    expect(await session.agrees?.(here, account, never())).toBe(true);
    expect(await session.agrees?.({ ...here, port: 1 }, account, never())).toBe(false);
    await session.close();
  });
});

async function openAs(login: KindLogin | null, target: KindTarget): Promise<KindSession> {
  const outcome = login === null ? null : await kind.connect(target, login, kindWorld().io, never());
  if (outcome?.kind !== 'connected') throw new Error(outcome?.message ?? 'no login');
  return outcome.session;
}
