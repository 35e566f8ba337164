import { strict as assert } from 'node:assert';
import { createCleanup } from '../process/cleanup.ts';
import { startFaultProxy } from '../target/fault-proxy.ts';
import type { CaseDraft } from './bare-cases.ts';
import type { KindLab } from './kind-lab.ts';
import { assertOpens, never, openSession, probe, sidesOf, wrongFor } from './kind-steps.ts';
import { kindWorld } from './kind-world.ts';

async function connects(lab: KindLab): Promise<void> {
  const login = await lab.server().makeAccount();
  for (const by of sidesOf(lab)) {
    const world = kindWorld();
    const session = await openSession(lab, by, login, world);
    assert.notEqual(session.address, '');
    assert.ok(world.openSockets() > 0);
    await session.close();
    await world.allClosed();
  }
}

async function tells(lab: KindLab): Promise<void> {
  const login = await lab.server().makeAccount();
  await assertOpens(lab, login, 'a fresh account opens');
  const wrong = { ...login, credential: wrongFor(lab, login.credential) };
  assert.equal(await probe(lab, wrong), 'refused');
  const world = kindWorld();
  const outcome = await lab.kind.connect(lab.server().target, wrong, world.io, never());
  assert.equal(outcome.kind, 'refused');
  await world.allClosed();
}

async function oneAttempt(lab: KindLab): Promise<void> {
  const server = lab.server();
  const login = await server.makeAccount();
  const counted = async (): Promise<number> => (await server.attempts?.(login.account)) ?? Number.NaN;
  const wrong = { ...login, credential: wrongFor(lab, login.credential) };
  const before = await counted();
  await probe(lab, login);
  assert.equal((await counted()) - before, 1, 'a good probe is one login');
  await probe(lab, wrong);
  assert.equal((await counted()) - before, 2, 'a refused probe is one login');
  const world = kindWorld();
  await lab.kind.connect(server.target, wrong, world.io, never());
  await world.allClosed();
  assert.equal((await counted()) - before, 3, 'a refused connect is one login');
}

/** After how many of a login's bytes its connection breaks: a few on the way, and closely at the end, where the verdict is. */
function cutsOf(bytes: number): readonly number[] {
  const onTheWay = [0.1, 0.3, 0.5, 0.7].map((share) => Math.ceil(bytes * share));
  // A verdict in a TLS record has more than 30.
  const atTheEnd = Array.from({ length: 16 }, (_, at) => bytes - 24 * at).filter((cut) => cut > 0);
  return [...onTheWay, ...atTheEnd];
}

/** The answer by which a login is given back to the budget (R6): never where the server has counted it. */
async function unreachableIsUncounted(lab: KindLab): Promise<void> {
  const server = lab.server();
  const login = await server.makeAccount();
  const cleanup = createCleanup();
  try {
    const proxy = await startFaultProxy(cleanup.later, server.target);
    const target = { ...server.target, host: proxy.host, port: proxy.port };
    const ask = async (): Promise<string> => {
      const world = kindWorld();
      const { kind } = await lab.kind.probe(target, login, world.io, never());
      await world.allClosed();
      return kind;
    };
    assert.equal(await ask(), 'opens');
    const { up, down } = proxy.passed();
    const answers: string[] = [];
    for (const cut of cutsOf(up + down)) {
      proxy.cutAfter(cut);
      const before = await server.attempts?.(login.account);
      const answer = await ask();
      answers.push(answer);
      const counted = (await server.attempts?.(login.account)) !== before;
      assert.ok(
        answer !== 'unreachable' || !counted,
        `cut after ${cut} of ${up + down} bytes: unreachable, and counted`,
      );
      assert.notEqual(answer, 'refused', 'a connection that breaks is no refusal');
    }
    assert.ok(
      answers.some((answer) => ['unreachable', 'unknown'].includes(answer)),
      `no cut met the login: ${answers.join(', ')}`,
    );
  } finally {
    await cleanup.run();
  }
}

async function missing(lab: KindLab): Promise<void> {
  const server = lab.server();
  const { credential } = await server.makeAccount();
  const account = await server.missing?.();
  assert.ok(account);
  const answer = await probe(lab, { account, credential });
  assert.ok(['refused', 'unknown'].includes(answer), `an account that is not there: ${answer}`);
}

async function locked(lab: KindLab): Promise<void> {
  const login = await lab.server().makeAccount();
  await lab.server().lock?.(login.account);
  assert.equal(await probe(lab, login), 'locked');
}

async function expired(lab: KindLab): Promise<void> {
  const login = await lab.server().makeAccount();
  await lab.server().expire?.(login.account);
  assert.equal(await probe(lab, login), 'expired');
}

/** No credential reaches a server whose key is another one: the server counts no attempt. */
async function impostor(lab: KindLab): Promise<void> {
  const server = lab.server();
  const login = await server.makeAccount();
  const before = await server.attempts?.(login.account);
  const seen = kindWorld();
  await lab.kind.probe(server.target, login, seen.io, never());
  await seen.allClosed();
  if (seen.identities.length === 0) {
    assert.ok(!server.target.useTls && server.target.identity === null, 'a pinned or TLS target shows its key');
    return;
  }
  assert.match(seen.identities[0]?.value ?? '', /^sha256:[\w-]{43}$/);
  const world = kindWorld({ refuses: true });
  const answers: string[] = [];
  for (const ask of ['probe', 'connect'] as const) {
    const asked: Promise<{ readonly kind: string }> = lab.kind[ask](server.target, login, world.io, never());
    answers.push((await asked).kind);
  }
  await world.allClosed();
  assert.ok(!answers.some((kind) => ['opens', 'connected', 'refused', 'locked', 'expired'].includes(kind)));
  if (before !== undefined) assert.equal(await server.attempts?.(login.account), before + 1);
}

async function secondLook(lab: KindLab): Promise<void> {
  const login = await lab.server().makeAccount();
  for (const by of sidesOf(lab)) {
    const world = kindWorld();
    const session = await openSession(lab, by, login, world);
    const found = await session.check(login.account);
    assert.ok(found.length > 0, 'a dry run looks at something');
    for (const { what, holds, remedy } of found) {
      assert.ok(what !== '' && (holds || remedy !== ''), 'what does not hold says what to do');
      assert.ok(holds, `${by}: ${what}`);
    }
    await session.close();
    await world.allClosed();
  }
  await assertOpens(lab, login, 'a dry run changes nothing');
}

async function powerlessLook(lab: KindLab): Promise<void> {
  const server = lab.server();
  const login = await server.makeAccount();
  const powerless = await server.powerless?.();
  assert.ok(powerless);
  const world = kindWorld();
  const outcome = await lab.kind.connect(server.target, powerless, world.io, never());
  assert.ok(outcome.kind === 'connected');
  const found = await outcome.session.check(login.account);
  assert.ok(
    found.some(({ holds, remedy }) => !holds && remedy !== ''),
    'a dry run sees a missing permission',
  );
  await outcome.session.close();
  await world.allClosed();
}

export function loginCases(lab: KindLab): readonly CaseDraft[] {
  return [
    { name: 'connects on each side it has, and leaves no socket', needs: ['server'], run: () => connects(lab) },
    { name: 'a wrong credential is refused, a right one opens', needs: ['server'], run: () => tells(lab) },
    { name: 'each login is one attempt', needs: ['server', 'attempts'], run: () => oneAttempt(lab) },
    {
      name: 'a login that the server counted is never called unreachable',
      needs: ['server', 'attempts'],
      run: () => unreachableIsUncounted(lab),
    },
    {
      name: 'an account that is not there is no lock and no expiry',
      needs: ['server', 'missing'],
      run: () => missing(lab),
    },
    { name: 'locked is told apart from refused', needs: ['server', 'lock'], run: () => locked(lab) },
    { name: 'expired is told apart from refused', needs: ['server', 'expire'], run: () => expired(lab) },
    { name: 'no credential is shown to a server with another key', needs: ['server'], run: () => impostor(lab) },
    { name: 'a dry run says that all holds, and changes nothing', needs: ['server'], run: () => secondLook(lab) },
    {
      name: 'a dry run sees a missing permission',
      needs: ['server', 'powerless'],
      run: () => powerlessLook(lab),
    },
  ];
}
