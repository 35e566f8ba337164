import { strict as assert } from 'node:assert';
import { createServer } from 'node:net';
import type { KindAbility, KindLab } from './kind-lab.ts';
import { never } from './kind-steps.ts';
import { kindWorld } from './kind-world.ts';

/** A case before it is known whether this kind's lab has what it needs. */
export interface CaseDraft {
  readonly name: string;
  readonly needs: readonly KindAbility[];
  run(): Promise<void>;
}

const fenceWords = ['number', 'compare', 'additive', 'evict', 'none', null];

async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function describes({ kind, absent }: KindLab): Promise<void> {
  const { description } = kind;
  assert.match(description.name, /^[a-z0-9-]{1,40}$/);
  assert.notEqual(description.title, '');
  assert.ok(fenceWords.includes(description.fence.admin) && fenceWords.includes(description.fence.own));
  assert.ok(description.fence.admin !== null || description.fence.own !== null, 'somebody can change the account');
  assert.ok(['password', 'ssh-key'].includes(description.changes));
  assert.notEqual(description.ownCaveat, '');
  const isUntried = absent.server !== undefined;
  assert.equal(description.triedAgainst === null, isUntried, 'tried is what has a real server in its tests');
  assert.equal(description.untried !== null, isUntried, 'what was not tried says why');
}

async function limits({ kind, target }: KindLab): Promise<void> {
  const { minLength, maxLength, significant } = kind.limits(target);
  assert.ok(minLength >= 0 && maxLength >= Math.max(1, minLength) && maxLength <= 65_536);
  assert.ok(significant === null || significant >= minLength);
}

async function names({ kind, login: { account } }: KindLab): Promise<void> {
  const name = kind.accountName(account);
  assert.ok(name !== '' && name.length <= 1_024);
  assert.equal(name, kind.accountName(structuredClone(account)), 'one account has one name');
  const other = {
    ...account,
    login: `${account.login}2`,
    distinguishedName: account.distinguishedName === null ? null : `cn=2,${account.distinguishedName}`,
  };
  assert.notEqual(name, kind.accountName(other), 'two accounts have two');
}

/** A lab that grew an ability must not go on saying why it has none. */
async function absences(lab: KindLab): Promise<void> {
  for (const [ability, reason] of Object.entries(lab.absent)) assert.ok(reason.length > 10, `${ability} says why`);
  if (lab.absent.server !== undefined) return;
  const server = lab.server() as unknown as Readonly<Record<string, unknown>>;
  for (const ability of Object.keys(lab.absent)) assert.equal(server[ability], undefined, `${ability} is there`);
}

async function unreachable(lab: KindLab): Promise<void> {
  const target = { ...lab.target, host: '127.0.0.1', port: await closedPort() };
  const world = kindWorld();
  assert.equal((await lab.kind.probe(target, lab.login, world.io, never())).kind, 'unreachable');
  assert.equal((await lab.kind.connect(target, lab.login, world.io, never())).kind, 'unreachable');
  await world.allClosed();
}

/** What needs no account: kinds whose server cannot be had run these as well. */
export function bareCases(lab: KindLab): readonly CaseDraft[] {
  return [
    { name: 'its description is whole and honest', needs: [], run: () => describes(lab) },
    { name: 'its limits on secrets can be met', needs: [], run: () => limits(lab) },
    { name: 'one account has one name, two have two', needs: [], run: () => names(lab) },
    { name: 'what its lab cannot do has a reason', needs: [], run: () => absences(lab) },
    { name: 'a closed port is unreachable, to connect and to probe', needs: [], run: () => unreachable(lab) },
  ];
}
