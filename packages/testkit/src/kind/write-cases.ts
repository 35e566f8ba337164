import { strict as assert } from 'node:assert';
import type { ApplyOutcome } from '@sallyport/rotation';
import type { CaseDraft } from './bare-cases.ts';
import type { KindLab, KindLogin } from './kind-lab.ts';
import {
  assertOpens,
  assertRefused,
  type By,
  changeOnce,
  never,
  openSession,
  probe,
  sidesOf,
  wrongFor,
  write,
} from './kind-steps.ts';
import { kindWorld } from './kind-world.ts';

function assertKind(outcome: ApplyOutcome, wanted: readonly ApplyOutcome['kind'][], what: string): void {
  const said = outcome.kind === 'applied' ? '' : `: ${outcome.message}`;
  assert.ok(wanted.includes(outcome.kind), `${what}: ${outcome.kind}${said}`);
  if (outcome.kind !== 'applied') assert.ok(outcome.message.length <= 256, 'a message is at most 256 characters');
}

async function applies(lab: KindLab, by: By): Promise<void> {
  const server = lab.server();
  const login = await server.makeAccount();
  const next = server.nextCredential();
  const fence = lab.kind.description.fence[by];
  const world = kindWorld();
  const session = await openSession(lab, by, login, world);
  const { account, credential: old } = login;
  assert.equal(await session.mark(account), 0, 'no write was seen yet');
  if (session.evict) assert.equal(await session.evict(account), true);
  assertKind(await write(session, { account, send: 7, next, old }), ['applied'], 'a write with all it needs');
  const renewed = { account, credential: next };
  await assertOpens(lab, renewed, 'the new credential opens');
  if (fence === 'additive') {
    assert.ok(session.retire, 'an additive fence has a way to retire');
    await assertOpens(lab, login, 'the old one opens until it is retired');
    const retired = await session.retire(account, next, never());
    assert.ok(retired.kind === 'retired' && retired.removed >= 1, 'it says how much it removed');
    const again = { kind: 'retired', removed: 0 };
    assert.deepEqual(await session.retire(account, next, never()), again, 'twice is nothing more');
    await assertOpens(lab, renewed, 'the new one is kept');
  }
  await assertRefused(lab, login, 'the old credential is refused');
  await session.close();
  await world.allClosed();
  if (fence === 'number') {
    const again = kindWorld();
    const look = await openSession(lab, by, renewed, again);
    assert.equal(await look.mark(account), 7, 'the mark shows the send');
    await look.close();
    await again.allClosed();
  }
}

async function onlyHigher(lab: KindLab, by: By): Promise<void> {
  const server = lab.server();
  const login = await server.makeAccount();
  const [first, second, third] = [server.nextCredential(), server.nextCredential(), server.nextCredential()];
  const { account } = login;
  assertKind(await changeOnce(lab, by, login, { account, send: 5, next: first, old: null }), ['applied'], 'send 5');
  const current = { account, credential: first };
  for (const send of [5, 4]) {
    assertKind(
      await changeOnce(lab, by, current, { account, send, next: second, old: first }),
      ['fenced'],
      `send ${send} after 5`,
    );
    await assertOpens(lab, current, 'a fenced write changes nothing');
  }
  assertKind(await changeOnce(lab, by, current, { account, send: 6, next: third, old: first }), ['applied'], 'send 6');
  await assertOpens(lab, { account, credential: third }, 'the next number is taken');
}

/** What a later write added is not removed when an earlier one cleans up late. */
async function keepsLater(lab: KindLab, by: By): Promise<void> {
  const server = lab.server();
  const login = await server.makeAccount();
  const [early, late] = [server.nextCredential(), server.nextCredential()];
  const { account, credential: old } = login;
  const [first, second] = [early, late].map((credential) => ({ account, credential }));
  assert.ok(first && second);
  const world = kindWorld();
  const session = await openSession(lab, by, login, world);
  assertKind(await write(session, { account, send: 9, next: early, old }), ['applied'], 'send 9');
  assertKind(await write(session, { account, send: 10, next: late, old }), ['applied'], 'send 10');
  assert.ok(session.retire, 'an additive fence has a way to retire');
  const one = { kind: 'retired', removed: 1 };
  assert.deepEqual(await session.retire(account, early, never()), one, 'the old one is removed, and no other');
  await assertRefused(lab, login, 'the old credential is refused');
  await assertOpens(lab, first, 'what is kept opens');
  await assertOpens(lab, second, 'what was added later opens too');
  assert.deepEqual(await session.retire(account, late, never()), one, 'the later one removes the earlier one');
  await assertRefused(lab, first, 'the earlier one is refused');
  await assertOpens(lab, second, 'the later one is kept');
  await session.close();
  await world.allClosed();
}

async function namesOld(lab: KindLab, by: By): Promise<void> {
  const server = lab.server();
  const login = await server.makeAccount();
  const { account } = login;
  const next = server.nextCredential();
  const outcome = await changeOnce(lab, by, login, { account, send: 1, next, old: wrongFor(lab, login.credential) });
  assertKind(outcome, ['fenced'], 'a write that names a wrong old credential');
  await assertOpens(lab, login, 'nothing was changed');
}

async function policy(lab: KindLab, by: By): Promise<void> {
  const server = lab.server();
  const login = await server.makeAccount();
  const { account, credential: old } = login;
  const weak = await server.weak?.();
  assert.ok(weak);
  assertKind(await changeOnce(lab, by, login, { account, send: 1, next: weak, old }), ['policy'], 'a weak secret');
  await assertOpens(lab, login, 'a policy refusal changes nothing');
  const next = server.nextCredential();
  assertKind(await changeOnce(lab, by, login, { account, send: 2, next, old }), ['applied'], 'a strong one after it');
}

async function noPower(lab: KindLab): Promise<void> {
  const server = lab.server();
  const login = await server.makeAccount();
  const powerless = await server.powerless?.();
  assert.ok(powerless);
  const world = kindWorld();
  const connected = await lab.kind.connect(server.target, powerless, world.io, never());
  assert.ok(connected.kind === 'connected');
  const order = { account: login.account, send: 1, next: server.nextCredential(), old: login.credential };
  assertKind(await write(connected.session, order), ['denied'], 'without permission');
  await connected.session.close();
  await world.allClosed();
  await assertOpens(lab, login, 'nothing was changed');
}

async function noAccount(lab: KindLab): Promise<void> {
  const server = lab.server();
  const account = await server.missing?.();
  assert.ok(account);
  const bystander = await server.makeAccount();
  const order = { account, send: 1, next: server.nextCredential(), old: null };
  assertKind(await changeOnce(lab, 'admin', bystander, order), ['denied'], 'an account that is not there');
  await assertOpens(lab, bystander, 'nobody else was changed');
  assert.notEqual(await probe(lab, { account, credential: order.next }), 'opens', 'and none was made');
}

async function readOnly(lab: KindLab, by: By): Promise<void> {
  const server = lab.server();
  const login = await server.makeAccount();
  const undo = await server.readOnly?.();
  assert.ok(undo);
  try {
    const { account, credential: old } = login;
    const order = { account, send: 1, next: server.nextCredential(), old };
    assertKind(await changeOnce(lab, by, login, order), ['denied'], 'a read-only server');
    await assertOpens(lab, login, 'nothing was changed');
  } finally {
    await undo();
  }
}

/** What stands beside the account, and is not to be touched by a change of it. */
async function neighbours(lab: KindLab, by: By): Promise<void> {
  const server = lab.server();
  const names = server.hostileLogins?.() ?? [];
  assert.ok(names.length > 0);
  const bystander = await server.makeAccount();
  const all: KindLogin[] = [];
  for (const name of names) all.push(await server.makeAccount(name));
  for (const login of all) {
    const { account, credential: old } = login;
    const next = server.nextCredential();
    const shown = JSON.stringify(account.login);
    assertKind(await changeOnce(lab, by, login, { account, send: 1, next, old }), ['applied'], shown);
    await assertOpens(lab, { account, credential: next }, `${shown} opens`);
  }
  await assertOpens(lab, bystander, 'nobody else was changed');
}

export function writeCases(lab: KindLab): readonly CaseDraft[] {
  const sides = sidesOf(lab);
  const { fence } = lab.kind.description;
  return [
    ...sides.flatMap((by): CaseDraft[] => [
      { name: `${by}: a change opens by the new, not by the old`, needs: ['server'], run: () => applies(lab, by) },
      {
        name: `${by}: a policy refusal changes nothing, and another secret is taken`,
        needs: ['server', 'weak'],
        run: () => policy(lab, by),
      },
      {
        name: `${by}: a read-only server denies`,
        needs: ['server', 'readOnly'],
        run: () => readOnly(lab, by),
      },
      {
        name: `${by}: hostile names are names and nothing else`,
        needs: ['server', 'hostileLogins'],
        run: () => neighbours(lab, by),
      },
    ]),
    ...sides
      .filter((by) => fence[by] === 'number')
      .map((by) => ({
        name: `${by}: only a higher send is taken`,
        needs: ['server'] as const,
        run: () => onlyHigher(lab, by),
      })),
    ...sides
      .filter((by) => fence[by] === 'compare')
      .map((by) => ({
        name: `${by}: a wrong old credential is fenced`,
        needs: ['server'] as const,
        run: () => namesOld(lab, by),
      })),
    ...sides
      .filter((by) => fence[by] === 'additive')
      .map((by) => ({
        name: `${by}: a late clean-up removes only what is older than what it keeps`,
        needs: ['server'] as const,
        run: () => keepsLater(lab, by),
      })),
    ...(fence.admin === null
      ? []
      : ([
          { name: 'without permission a write is denied', needs: ['server', 'powerless'], run: () => noPower(lab) },
          {
            name: 'a write to an account that is not there is denied',
            needs: ['server', 'missing'],
            run: () => noAccount(lab),
          },
        ] as const)),
  ];
}
