import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type ErrorCode, errorCatalog } from '@sallyport/protocol';
import { createCleanup, echo, startTcpTarget, type TcpTarget, tempDir } from '@sallyport/testkit';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { type Installation, newInstallation, newMachine, ownersPassword, withPool } from './harness/installation.ts';
import type { Instance } from './harness/instance.ts';
import { member, members } from './harness/json.ts';
import {
  damageFacts,
  forgeNewest,
  keepHonest,
  type Lie,
  type LieNames,
  redirectSession,
  replaceGenesis,
  replaceWrap,
  restoreHonest,
  rewireConfiguration,
  rewireGateway,
  rollBackFacts,
  serveOlderAsNewer,
  serveUnderAnotherUid,
  substitutePoolKey,
  swapFacts,
  switchMirror,
  tellLie,
  withholdNewest,
} from './harness/lies.ts';
import { type Run, runProgram } from './harness/programs.ts';
import { connectRaw } from './harness/raw-connection.ts';
import type { Tunnel } from './harness/tunnel.ts';
import { patience, until } from './harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
let installation: Installation;
let target: TcpTarget;
let instance: Instance;
let otherInstance: Instance;
let joinConfig: string;
let names: LieNames;
/** Opened while everything was honest; they hold what was true then and ask for it. */
let tunnels: Readonly<Record<'web1' | 'again' | 'shut', Tunnel>>;
let honest: string;
/** Another machine of the owner, signed in and with the trust log, that has opened no record yet. */
let newcomersHome: string;

beforeAll(async () => {
  target = await startTcpTarget(cleanup.later, echo);
  installation = await newInstallation(cleanup.later);
  joinConfig = await withPool(installation);
  const otherConfig = await installation.newGateway('dc2', 'prod', 2);
  await installation.pam([
    ...['config', 'new', '-n', 'dc2-net', '-a', 'prod', '-g', 'dc2'],
    ...['--network', '127.0.0.0/8', '--tunneling', 'on'],
  ]);
  instance = installation.startInstance('one', joinConfig);
  otherInstance = installation.startInstance('other', otherConfig);
  await newMachine(installation, 'web1', { host: '127.0.0.1', port: 9 });
  await installation.pam(['record', 'edit', 'web1', '--port', String(target.port)]);
  await newMachine(installation, 'web2', target);
  await newMachine(installation, 'shut', target);
  await Promise.all([instance.id(), otherInstance.id()]);
  const [web1, again] = [await installation.openTunnel('web1'), await installation.openTunnel('web1')];
  tunnels = { web1, again, shut: await installation.openTunnel('shut') };
  await installation.pam(['record', 'edit', 'shut', '--tunneling', 'off']);
  newcomersHome = join(installation.folder, 'newcomer');
  expect(await signIn(newcomersHome)).toMatchObject({ code: 0 });
  names = await readNames();
  expect(await echoed(tunnels.web1)).toBe('still here');
  honest = join(installation.folder, 'honest.sqlite');
  keepHonest(installation.dataDir, honest);
});
afterEach(() => restoreHonest(installation.dataDir, honest));
afterAll(() => cleanup.run());

async function readNames(): Promise<LieNames> {
  const record = async (title: string) =>
    String(member(await installation.json(['record', 'get', title]), 'record_uid'));
  const configurations = await installation.json(['config', 'list']);
  const named = (title: string) => {
    const all = members(configurations, 'configurations');
    const found = all.find((one) => member(one, 'config_name') === title);
    return [String(member(found, 'uid')), String(member(found, 'gateway_uid'))] as const;
  };
  const [[config, gateway], [otherConfig, otherGateway]] = [named('dc1-net'), named('dc2-net')];
  const [web1, web2, shut] = [await record('web1'), await record('web2'), await record('shut')];
  return { web1, web2, shut, config, gateway, otherConfig, otherGateway };
}

/** `pam login` on a machine that knows nothing but the paper kit. */
function signIn(home: string): Promise<Run> {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  return runProgram('pam', ['login', '--kit', installation.kitFile, '--password-stdin'], {
    env: { SALLYPORT_HOME: home },
    input: `${ownersPassword}\n`,
  });
}

/** Runs `pam` with a copy of a machine's memory, so that one lie leaves nothing behind for the next. */
async function pamOf(home: string, args: readonly string[]): Promise<Run> {
  const copy = join(tempDir(cleanup.later), 'home');
  cpSync(home, copy, { recursive: true });
  return runProgram('pam', args, { env: { SALLYPORT_HOME: copy } });
}

/** Starts an instance, without memory unless its folder is given, which ends by itself with this error. */
async function expectInstanceEnds(code: ErrorCode, stateDir = join(tempDir(cleanup.later), 'state')): Promise<void> {
  const started = installation.startInstance('new', joinConfig, { stateDir });
  const { code: exit } = await started.child.exited;
  expect(started.child.stdout() + started.child.stderr()).toContain(code);
  expect(exit).toBe(errorCatalog[code].exit);
}

const lie = (told: Lie): Promise<void> => tellLie(installation.dataDir, (database) => told(database, names));

async function echoed(tunnel: Tunnel): Promise<string> {
  const connection = await connectRaw(tunnel.port);
  connection.socket.end('still here');
  expect(await connection.ended).toBe('end');
  return connection.received().toString();
}

/** One connection through a tunnel that was open before the lie: the code that `pam` printed for it. */
async function refusedThrough(tunnel: Tunnel): Promise<string> {
  const before = tunnel.messages().length;
  const connection = await connectRaw(tunnel.port);
  expect(await connection.ended).toBe('ECONNRESET');
  return until('the tunnel says why', () => /\((PAM_\w+)\)/.exec(tunnel.messages().slice(before))?.[1]);
}

const refusals = (of: Instance): readonly unknown[] =>
  of
    .log()
    .filter(({ msg }) => msg === 'dispatch refused')
    .map(({ code }) => code);

/** What it has refused since there were `before`: its log comes by another way than the word of `pam`. */
async function expectToRefuse(of: Instance, before: number, codes: readonly ErrorCode[]): Promise<void> {
  await until('the instance logs it', () => refusals(of).length >= before + codes.length);
  expect(refusals(of).slice(before)).toEqual(codes);
}

function expectRefused(run: Run, code: ErrorCode): void {
  expect(run.stderr).toContain(code);
  expect(run.code).toBe(errorCatalog[code].exit);
}

interface SealedLie {
  readonly lie: string;
  readonly told: Lie;
  /** On the machine that saw the newest facts, on one that never saw any, and at the instance. */
  readonly knowing: ErrorCode;
  readonly newcomer: ErrorCode | null;
  readonly atInstance: ErrorCode | null;
  /** What `pam` is asked; the record by its title unless given. */
  readonly asks?: readonly string[];
}

const sealedLies: readonly SealedLie[] = [
  {
    lie: 'swaps the sealed facts of two records',
    told: swapFacts,
    knowing: 'PAM_SEAL_STALE',
    newcomer: 'PAM_SEAL_MISPLACED',
    atInstance: 'PAM_SEAL_MISPLACED',
  },
  {
    lie: 'goes back to an older revision',
    told: rollBackFacts,
    knowing: 'PAM_SEAL_STALE',
    newcomer: null,
    atInstance: 'PAM_SEAL_STALE',
  },
  {
    lie: 'serves an older revision under the number of the newest',
    told: serveOlderAsNewer,
    knowing: 'PAM_SEAL_STALE',
    newcomer: 'PAM_SEAL_STALE',
    atInstance: 'PAM_SEAL_STALE',
  },
  {
    lie: 'serves a record once more under another UID',
    told: serveUnderAnotherUid,
    knowing: 'PAM_SEAL_MISPLACED',
    newcomer: 'PAM_SEAL_MISPLACED',
    atInstance: null,
    asks: ['record', 'list'],
  },
  {
    lie: 'changes one character of what is sealed',
    told: damageFacts,
    knowing: 'PAM_SEAL_STALE',
    newcomer: 'PAM_SEAL_BROKEN',
    atInstance: 'PAM_SEAL_BROKEN',
  },
];

const getWeb1 = ['record', 'get', 'web1'];

test.each(sealedLies)('[C2] a router that $lie is told by pam and by the instance', async (row) => {
  const [dialled, refused, asks] = [target.accepted.length, refusals(instance).length, row.asks ?? getWeb1];
  // A tunnel says the same thing twice only after half a minute: those who lie in the same way meet another one.
  const tunnel = row.told === serveOlderAsNewer ? tunnels.again : tunnels.web1;
  await lie(row.told);
  const [knowing, newcomer, through] = await Promise.all([
    pamOf(installation.home, asks),
    row.newcomer === null ? null : pamOf(newcomersHome, asks),
    row.atInstance === null ? null : refusedThrough(tunnel),
  ]);
  expectRefused(knowing, row.knowing);
  if (newcomer !== null && row.newcomer !== null) expectRefused(newcomer, row.newcomer);
  expect(through).toBe(row.atInstance);
  await expectToRefuse(instance, refused, row.atInstance === null ? [] : [row.atInstance]);
  expect(target.accepted).toHaveLength(dialled);
});

test("[C2] a key of the router's own in a wrap is refused by the person's pam and by an instance that joins", async () => {
  await lie(replaceWrap('person'));
  expectRefused(await pamOf(installation.home, getWeb1), 'PAM_WRAP_INVALID');
  restoreHonest(installation.dataDir, honest);
  await lie(replaceWrap('pool'));
  await expectInstanceEnds('PAM_WRAP_INVALID');
});

interface LogLie {
  readonly lie: string;
  readonly told: Lie;
  /** On a machine that begins at the anchor, and on one that compares with what it kept. */
  readonly newcomer: ErrorCode;
  readonly knowing: ErrorCode;
  /** Of an instance without memory; null where it never gets as far. */
  readonly atInstance: ErrorCode;
}

const logLies: readonly LogLie[] = [
  {
    lie: "changes a pool's public key in the log",
    told: substitutePoolKey,
    newcomer: 'PAM_TRUST_ENTRY_INVALID',
    knowing: 'PAM_TRUST_FORKED',
    atInstance: 'PAM_TRUST_ENTRY_INVALID',
  },
  {
    lie: 'forges a device',
    told: forgeNewest('device'),
    newcomer: 'PAM_TRUST_ENTRY_INVALID',
    knowing: 'PAM_TRUST_FORKED',
    atInstance: 'PAM_TRUST_ENTRY_INVALID',
  },
  {
    lie: 'forges a person',
    told: forgeNewest('person'),
    newcomer: 'PAM_TRUST_ENTRY_INVALID',
    knowing: 'PAM_TRUST_FORKED',
    atInstance: 'PAM_TRUST_ENTRY_INVALID',
  },
  {
    lie: 'begins the log with an entry of its own',
    told: replaceGenesis,
    newcomer: 'PAM_TRUST_ANCHOR',
    knowing: 'PAM_TRUST_FORKED',
    atInstance: 'PAM_TRUST_ANCHOR',
  },
];

test.each(logLies)('[C2] [C6] a router that $lie is told by every honest side', async (row) => {
  await lie(row.told);
  const [newcomer, knowing] = await Promise.all([
    signIn(join(tempDir(cleanup.later), 'home')),
    pamOf(installation.home, ['trust', 'verify']),
    expectInstanceEnds(row.atInstance),
  ]);
  expectRefused(newcomer, row.newcomer);
  expectRefused(knowing, row.knowing);
});

test('[C6] a router that names the newest entry of the log and withholds it is told by whoever asks', async () => {
  await lie(withholdNewest);
  expectRefused(await signIn(join(tempDir(cleanup.later), 'home')), 'PAM_TRUST_BEHIND');
  expectRefused(await pamOf(installation.home, ['trust', 'verify']), 'PAM_TRUST_SHORTENED');
});

test('[C5] switched on beside the envelope and off inside: the router lets it through, the instance refuses', async () => {
  const [dialled, refused] = [target.accepted.length, refusals(instance).length];
  expect(await refusedThrough(tunnels.shut)).toBe('PAM_PERMISSION_OFF');
  expect(refusals(instance)).toHaveLength(refused);
  await lie(switchMirror('shut', 'on'));
  expect(await refusedThrough(tunnels.shut)).toBe('PAM_PERMISSION_OFF');
  await expectToRefuse(instance, refused, ['PAM_PERMISSION_OFF']);
  const asked = await pamOf(installation.home, ['tunnel', 'start', 'shut']);
  expectRefused(asked, 'PAM_PERMISSION_OFF');
  expect(asked.stderr).toContain('The sealed values hold.');
  expect(target.accepted).toHaveLength(dialled);
});

test('[C5] switched off beside the envelope and on inside: the router refuses early, no instance is asked', async () => {
  const [dialled, refused] = [target.accepted.length, refusals(instance).length];
  await lie(switchMirror('web1', 'off'));
  expect(await refusedThrough(tunnels.web1)).toBe('PAM_PERMISSION_OFF');
  expect(refusals(instance)).toHaveLength(refused);
  expect(target.accepted).toHaveLength(dialled);
});

test.each([
  { link: 'the record, to another configuration', told: rewireConfiguration, ends: 'PAM_REQUEST_INVALID', asked: 1 },
  { link: 'the configuration, to another gateway', told: rewireGateway, ends: 'PAM_NOT_ALLOWED', asked: 0 },
  { link: 'the session, to another gateway', told: redirectSession, ends: 'PAM_REQUEST_INVALID', asked: 0 },
] as const)('[C4] [C5] a rewired link of $link leads nowhere, and pam goes on with the sealed one', async (row) => {
  const [dialled, refused] = [target.accepted.length, refusals(instance).length];
  await lie(row.told);
  expect(await refusedThrough(tunnels.web1)).toBe(row.ends);
  await expectToRefuse(
    instance,
    refused,
    Array.from({ length: row.asked }, () => row.ends),
  );
  expect(refusals(otherInstance)).toEqual([]);
  expect((await pamOf(installation.home, getWeb1)).stdout).toContain(names.config);
  expect(target.accepted).toHaveLength(dialled);
});

test('when the router is honest again everything works for those who were lied to', async () => {
  const dialled = target.accepted.length;
  expect(await echoed(tunnels.web1)).toBe('still here');
  expect(target.accepted).toHaveLength(dialled + 1);
  for (const home of [installation.home, newcomersHome]) {
    expect(await pamOf(home, getWeb1)).toMatchObject({ code: 0 });
    expect(await pamOf(home, ['trust', 'verify'])).toMatchObject({ code: 0, stderr: '' });
  }
});

/** The router as it was before its newest entry: restored from an older backup, or rolled back by itself. */
async function setBack(): Promise<void> {
  await installation.router.kill('SIGTERM');
  await lie(withholdNewest);
  await installation.restartRouter();
}
const headOf = async (home: string): Promise<string> => (await pamOf(home, ['trust', 'head'])).stdout;

test('[C6] a router set back to a shorter log gains nothing: it is given what it hid', async () => {
  const head = await headOf(installation.home);
  await setBack();
  expect(await pamOf(installation.home, getWeb1)).toMatchObject({ code: 0 });
  for (const home of [installation.home, newcomersHome]) expect(await headOf(home)).toBe(head);
  expect(await pamOf(installation.home, ['trust', 'verify'])).toMatchObject({ code: 0, stderr: '' });
});

test('[C6] a router whose log went on differently from a shorter one is told by whoever saw the other', async () => {
  const dialled = target.accepted.length;
  await instance.kill('SIGTERM');
  await otherInstance.kill('SIGTERM');
  await setBack();
  // A machine without memory cannot know better; what it signs makes a second history. This store was not marked as restored.
  expect(await signIn(join(tempDir(cleanup.later), 'home'))).toMatchObject({ code: 0 });
  expectRefused(await pamOf(installation.home, getWeb1), 'PAM_TRUST_FORKED');
  await expectInstanceEnds('PAM_TRUST_FORKED', instance.stateDir);
  expect(target.accepted).toHaveLength(dialled);
});
