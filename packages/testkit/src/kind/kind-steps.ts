import { strict as assert } from 'node:assert';
import type { ApplyOutcome, Credential, KindAccount, KindSession, KindTarget, Secret } from '@sallyport/rotation';
import type { KindLab, KindLogin } from './kind-lab.ts';
import { type KindWorld, kindWorld } from './kind-world.ts';

/** Who changes the account: the administrative credential, or the account itself. */
export type By = 'admin' | 'own';
const both: readonly By[] = ['admin', 'own'];

/** Limit that writes are given where the case is not about limits, ms. */
const limitMs = 30_000;

export const never = (): AbortSignal => new AbortController().signal;

/** Texts that must never be seen outside: everything secret in a credential that is long enough to be told apart. */
export function secretTexts(credential: Credential): readonly string[] {
  const secrets: readonly (Secret | null)[] =
    credential.kind === 'password' ? [credential.password] : [credential.privateKey, credential.passphrase];
  return secrets
    .filter((secret) => secret !== null)
    .map((secret) => secret.reveal())
    .flatMap((text) => (text.includes('\n') ? text.split('\n').filter((line) => !line.startsWith('-')) : [text]))
    .filter((text) => text.length >= 8);
}

/** The same credential with another secret: what does not open. */
export function wrongFor(lab: KindLab, right: Credential): Credential {
  const wrong = lab.server().nextCredential();
  assert.notDeepEqual(secretTexts(wrong), secretTexts(right));
  return wrong;
}

/** One fresh login, from a world of its own that leaves no socket. */
export async function probe(lab: KindLab, login: KindLogin, target: KindTarget = lab.server().target): Promise<string> {
  const world = kindWorld();
  const outcome = await lab.kind.probe(target, login, world.io, never());
  if (outcome.kind === 'opens') assert.notEqual(outcome.address, '');
  else assert.ok(outcome.message.length <= 256, 'a message is at most 256 characters');
  await world.allClosed();
  return outcome.kind;
}

export async function assertOpens(lab: KindLab, login: KindLogin, what: string): Promise<void> {
  assert.equal(await probe(lab, login), 'opens', what);
}

export async function assertRefused(lab: KindLab, login: KindLogin, what: string): Promise<void> {
  assert.equal(await probe(lab, login), 'refused', what);
}

/** Logs in as the administrator, or as the account itself. */
export async function openSession(
  lab: KindLab,
  by: By,
  login: KindLogin,
  world: KindWorld,
  target: KindTarget = lab.server().target,
): Promise<KindSession> {
  const as = by === 'own' ? login : lab.server().admin;
  assert.ok(as !== null, 'the lab has no administrative credential, but the description has a fence for one');
  const outcome = await lab.kind.connect(target, as, world.io, never());
  assert.equal(outcome.kind, 'connected', outcome.kind === 'connected' ? '' : outcome.message);
  if (outcome.kind !== 'connected') throw new Error('unreachable');
  return outcome.session;
}

export interface Write {
  readonly account: KindAccount;
  readonly send: number;
  readonly next: Credential;
  readonly old: Credential | null;
  readonly limitMs?: number;
}

export function write(session: KindSession, order: Write, signal = never()): Promise<ApplyOutcome> {
  return session.apply({ limitMs, ...order }, signal);
}

/** The sides that this kind has a fence for. */
export function sidesOf(lab: KindLab): readonly By[] {
  return both.filter((by) => lab.kind.description.fence[by] !== null);
}

/** Opens a session, writes once, closes. */
export async function changeOnce(lab: KindLab, by: By, login: KindLogin, order: Write): Promise<ApplyOutcome> {
  const world = kindWorld();
  const session = await openSession(lab, by, login, world);
  try {
    return await write(session, order);
  } finally {
    await session.close();
    await world.allClosed();
  }
}
