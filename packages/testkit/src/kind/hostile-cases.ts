import { strict as assert } from 'node:assert';
import { readdirSync, readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { createFakeClock } from '../clock/fake-clock.ts';
import { createSeededRandom } from '../clock/seeded-random.ts';
import { createCleanup } from '../process/cleanup.ts';
import { type Behaviour, neverReads, resets, sends, sink, startTcpTarget } from '../target/tcp-target.ts';
import type { CaseDraft } from './bare-cases.ts';
import type { KindLab } from './kind-lab.ts';
import { assertOpens, changeOnce, never, openSession, secretTexts, sidesOf, wrongFor, write } from './kind-steps.ts';
import { kindWorld, movedUntil } from './kind-world.ts';

/** More than this is never read from a server that only talks; what kernels buffer comes on top. */
const mostTaken = 32 * 1024 * 1024;
const offered = 96 * 1024 * 1024;

const noise = (): Uint8Array => {
  const random = createSeededRandom(4);
  return Uint8Array.from({ length: 4_096 }, () => Math.floor(random.next() * 256));
};

const says =
  (bytes: Uint8Array): Behaviour =>
  (socket) =>
    void socket.resume().write(bytes);

const drips: Behaviour = (socket) => {
  const timer = setInterval(() => socket.write('x'), 2);
  socket.resume().on('close', () => clearInterval(timer));
};

function behaviours(lab: KindLab): Readonly<Record<string, Behaviour>> {
  const lies = Object.entries(lab.lies).flatMap(([name, bytes]): [string, Behaviour][] => [
    [name, says(bytes)],
    [
      `${name}, then zeros for ever`,
      (socket, accepted) => {
        socket.write(bytes);
        sends(offered, Buffer.alloc(64 * 1024))(socket, accepted);
      },
    ],
  ]);
  return {
    'a reset at once': resets,
    silence: sink,
    'a closed window': neverReads,
    noise: says(noise()),
    'noise for ever': sends(offered, noise()),
    'lines for ever': sends(offered, Buffer.from('220 welcome\r\n'.repeat(5_000))),
    'a line without an end': sends(offered),
    'a byte now and then': drips,
    ...Object.fromEntries(lies),
  };
}

const noAnswers = ['unreachable', 'unknown'];

/** Both ways in end by the kind's own clock, with no answer, no socket, and a bounded number of bytes taken. */
async function withstands(lab: KindLab, behaviour: Behaviour): Promise<void> {
  const cleanup = createCleanup();
  try {
    for (const ask of ['probe', 'connect'] as const) {
      const server = await startTcpTarget(cleanup.later, behaviour);
      const clock = createFakeClock();
      const world = kindWorld({ clock });
      const target = { ...lab.target, host: server.host, port: server.port };
      const outcome = await movedUntil<{ readonly kind: string }>(
        clock,
        lab.kind[ask](target, lab.login, world.io, never()),
      );
      assert.ok(noAnswers.includes(outcome.kind), `${ask}: ${outcome.kind}`);
      await world.allClosed();
      assert.equal(clock.pending(), 0, 'no timer is left behind');
      for (const { socket } of server.accepted)
        assert.ok(socket.bytesWritten < mostTaken, `took ${socket.bytesWritten}`);
    }
  } finally {
    await cleanup.run();
  }
}

async function aborts(lab: KindLab): Promise<void> {
  const cleanup = createCleanup();
  try {
    const server = await startTcpTarget(cleanup.later, sink);
    const target = { ...lab.target, host: server.host, port: server.port };
    for (const ask of ['probe', 'connect'] as const) {
      const world = kindWorld({ clock: createFakeClock() });
      const stop = new AbortController();
      const asked = lab.kind[ask](target, lab.login, world.io, stop.signal).then(
        ({ kind }) => kind as string,
        (reason: unknown) => (reason === stop.signal.reason ? 'unknown' : 'threw another reason'),
      );
      await server.whenAccepted(server.accepted.length + (world.dialled() === 0 ? 1 : 0));
      stop.abort(new Error('enough'));
      assert.ok(noAnswers.includes(await asked));
      await world.allClosed();
    }
    const early = kindWorld();
    const over = AbortSignal.abort(new Error('before'));
    await lab.kind.probe(target, lab.login, early.io, over).catch(() => undefined);
    assert.equal(early.openSockets(), 0);
  } finally {
    await cleanup.run();
  }
}

async function abortsWrite(lab: KindLab): Promise<void> {
  const server = lab.server();
  for (const by of sidesOf(lab)) {
    const login = await server.makeAccount();
    const world = kindWorld();
    const session = await openSession(lab, by, login, world);
    const order = { account: login.account, send: 1, next: server.nextCredential(), old: login.credential };
    const over = AbortSignal.abort(new Error('before'));
    const outcome = await write(session, order, over);
    assert.equal(outcome.kind, 'unknown', 'a write under an ended signal says that it knows nothing');
    await session.close();
    await session.close();
    await world.allClosed();
    await assertOpens(lab, login, 'and sends nothing');
  }
}

function commandLines(): string {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && name !== String(process.pid));
  return pids
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1') + readFileSync(`/proc/${pid}/environ`, 'latin1');
      } catch {
        return ''; // it ended meanwhile
      }
    })
    .join('\n');
}

/** Every secret that was used, looked for in whatever came out. */
async function keepsSecrets(lab: KindLab): Promise<void> {
  const server = lab.server();
  const said: unknown[] = [];
  const secrets: string[] = [];
  for (const by of sidesOf(lab)) {
    const login = await server.makeAccount();
    const wrong = { ...login, credential: wrongFor(lab, login.credential) };
    const [next, stale] = [server.nextCredential(), server.nextCredential()];
    for (const credential of [wrong.credential, login.credential, next, stale])
      secrets.push(...secretTexts(credential));
    const world = kindWorld();
    said.push(await lab.kind.probe(server.target, wrong, world.io, never()));
    said.push(await lab.kind.connect(server.target, wrong, world.io, never()));
    const { account } = login;
    const order = { account, send: 2, next, old: login.credential };
    said.push(await changeOnce(lab, by, login, order));
    said.push(commandLines());
    const current = { account, credential: next };
    said.push(await changeOnce(lab, by, current, { account, send: 1, next: stale, old: login.credential }));
    await world.allClosed();
  }
  said.push(await server.log?.());
  const text = said.map((each) => (typeof each === 'string' ? each : inspect(each, { depth: 8 }))).join('\n');
  assert.ok(secrets.length > 0);
  for (const secret of secrets) {
    for (const form of [secret, Buffer.from(secret).toString('base64'), encodeURIComponent(secret)]) {
      const at = text.indexOf(form);
      assert.equal(at, -1, at < 0 ? '' : `a secret was seen: …${text.slice(Math.max(0, at - 120), at)}`);
    }
  }
}

export function hostileCases(lab: KindLab): readonly CaseDraft[] {
  return [
    ...Object.entries(behaviours(lab)).map(
      ([name, behaviour]): CaseDraft => ({
        name: `a hostile server gets no credential out and no answer: ${name}`,
        needs: [],
        run: () => withstands(lab, behaviour),
      }),
    ),
    { name: 'an abort ends a login', needs: [], run: () => aborts(lab) },
    { name: 'an ended signal sends no write; close twice is close', needs: ['server'], run: () => abortsWrite(lab) },
    {
      name: 'no secret is seen in logs of the server, command lines or messages',
      needs: ['server', 'log'],
      run: () => keepsSecrets(lab),
    },
  ];
}
