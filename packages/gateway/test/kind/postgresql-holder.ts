import { kindWorld } from '@sallyport/testkit';
import { Secret } from '@sallyport/rotation';
import { postgresql } from '../../src/kind/postgresql/postgresql.ts';
import { accountOf, target } from './postgresql-lab.ts';

/** A holder in a process of its own, so that it can be killed in mid-write: writes send 1 and says nothing of the rest. */
const asked: string[] = [];
for await (const chunk of process.stdin.setEncoding('utf8')) asked.push(chunk as string);
const order = JSON.parse(asked.join('')) as Record<'login' | 'adminLogin' | 'adminPassword' | 'next', string> & {
  readonly port: number;
};
const outcome = await postgresql.connect(
  { ...target, port: order.port, useTls: true },
  {
    account: accountOf(order.adminLogin),
    credential: { kind: 'password', password: new Secret(order.adminPassword) },
  },
  kindWorld().io,
  new AbortController().signal,
);
if (outcome.kind === 'connected') {
  const next = { kind: 'password', password: new Secret(order.next) } as const;
  const write = { account: accountOf(order.login), send: 1, next, old: null, limitMs: 10_000 };
  await outcome.session.apply(write, new AbortController().signal);
}
