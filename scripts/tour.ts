// npm start: a router, a gateway with three instances and a target, all real processes on this machine; a tunnel through
// the pool; one instance killed while requests run; a replacement. Then it stays up until Ctrl-C (--once: ends).
//
// T1 Everything it starts ends with it: in order when it can, else because their standard input ends.
// T2 Everything it writes lies in the data folder, but for ~/.sallyport when there is none.
// T3 What it prints was measured: turns from the instances' logs, the gap by a clock around real requests.
import { DataFolder } from './tour/data-folder.ts';
import { Fleet, type Member } from './tour/fleet.ts';
import { takeLock } from './tour/lock.ts';
import { defaultPort, parseOptions, type TourOptions } from './tour/options.ts';
import { type Instance, startInstance, waitForMembers } from './tour/pool.ts';
import { claimPort } from './tour/port.ts';
import { commandOf, Pam } from './tour/programs.ts';
import { type Answer, ask, measureGap } from './tour/requests.ts';
import { whenNpmEnds } from './tour/running.ts';
import { setUp } from './tour/setting-up.ts';
import { TourStop } from './tour/stop.ts';
import { tally, Turns } from './tour/turns.ts';

const startWithinMs = 60_000;
const roundsBefore = 2;
/** Rounds that are sent until one is fair, and the pause before the next: two beats and some. */
const triesAtMost = 5;
const untilOnTimeMs = 1_500;
const requestsBeforeDeath = 5;
const requestsAfterDeath = 55;
const betweenRequestsMs = 20;
const exitInterrupted = 130;

const say = (line = ''): void => void process.stdout.write(`${line}\n`);
const indent = (text: string): string =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');
const short = (id: string): string => id.slice(0, 8);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

let steps = 0;
function step(title: string): void {
  steps += 1;
  say();
  say(`${steps}. ${title}`);
}

interface Running {
  readonly folder: DataFolder;
  readonly fleet: Fleet;
  readonly pam: Pam;
  readonly turns: Turns;
  readonly address: string;
  readonly tunnelPort: number;
  readonly instances: Instance[];
  readonly tunnel: Member;
  readonly router: Member;
}

async function startTarget(fleet: Fleet, wantedPort: number): Promise<number> {
  const target = fleet.startBase('target', ...commandOf('target', [`${wantedPort}`]));
  const line = await target.line(/"msg":"listening"/, startWithinMs);
  return (JSON.parse(line) as { port: number }).port;
}

/** Starts the router; `code` is that of the `pam setup` line it prints while it has no owner. */
async function startRouter(fleet: Fleet, folder: DataFolder, port: number) {
  const flags = ['--data-dir', folder.router, '--listen', '127.0.0.1', '--port', `${port}`];
  const router = fleet.startBase(
    'router',
    ...commandOf('pam-router', ['start', ...flags, '--log-format', 'json', '--exit-with-stdin']),
  );
  const ready = await router.line(/^sallyport router \S+ ready on \S+$/, startWithinMs);
  const address = ready.slice(ready.lastIndexOf(' ') + 1);
  return { router, address };
}

async function setupCode(router: Member): Promise<string> {
  return (await router.line(/^pam setup \S+ \S+$/, startWithinMs)).split(' ')[3] ?? '';
}

async function openTunnel(fleet: Fleet, pam: Pam): Promise<{ readonly tunnel: Member; readonly port: number }> {
  const args = ['tunnel', 'start', 'demo-web', '-p', '0', '--foreground', '--exit-with-stdin'];
  const tunnel = fleet.start('tunnel', ...commandOf('pam', args), pam.environment());
  const line = await tunnel.line(/^127\.0\.0\.1:\d+ → /, startWithinMs);
  say(indent(line));
  return { tunnel, port: Number(/:(\d+) /.exec(line)?.[1]) };
}

/** Asks once and says which instance logged the stream. */
async function askAndTell(running: Running): Promise<string> {
  const before = running.turns.count();
  const answer = await ask(running.tunnelPort);
  if (!answer.ok) throw new Error(`a request through the tunnel failed: ${answer.text}`);
  const served = await running.turns.served(before + 1);
  say(
    `    ${served.by} (${short(served.instance)})  ${answer.text}  [${Math.round(answer.endedAtMs - answer.startedAtMs)} ms]`,
  );
  return served.by;
}

/**
 * Sends rounds of requests, a new connection each, and requires that turns were fair. On a busy machine an instance may answer
 * later than the hedge: another one serves, and it is passed over until it is on time again. Then the rounds are sent anew.
 */
async function sendRounds(running: Running, rounds: number): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    const names: string[] = [];
    for (let sent = 0; sent < rounds * running.instances.length; sent += 1) names.push(await askAndTell(running));
    const { text, spread } = tally(names);
    say(`    turns: ${text}`);
    if (spread <= 1 && new Set(names).size === running.instances.length) return;
    if (tries === triesAtMost) throw new Error(`the turns were not fair in ${tries} tries, the last: ${text}`);
    say('    somebody was passed over for being late; what the router saw of the last one:');
    say(indent(await running.pam.run(['session', 'why', 'last'])));
    await pause(untilOnTimeMs);
    say('    once more:');
  }
}

interface StreamList {
  readonly sessions: readonly {
    readonly streams?: readonly { readonly stream_id: string; readonly instance_id: string | null }[];
  }[];
}

/** Compares what the instances logged with what the router recorded of its picks. */
async function compareTurns({ pam, turns }: Running): Promise<void> {
  const { sessions } = (await pam.json(['session', 'list', '--streams'])) as StreamList;
  const recorded = new Map(
    sessions.flatMap(({ streams = [] }) => streams.map((one) => [one.stream_id, one.instance_id])),
  );
  const served = turns.all().filter(({ stream }) => recorded.has(stream));
  const wrong = served.filter(({ stream, instance }) => recorded.get(stream) !== instance);
  if (wrong.length > 0)
    throw new Error(`streams of which router and instance say different things: ${JSON.stringify(wrong)}`);
  say(`    the router recorded the same instance for all ${served.length} of these streams it lists`);
}

/** The instance whose turn comes next: the one that served longest ago. */
function nextInTurn({ instances, turns }: Running): Instance {
  const order = turns.all().map(({ instance }) => instance);
  const [next] = instances.toSorted((a, b) => order.lastIndexOf(a.id) - order.lastIndexOf(b.id));
  if (!next) throw new Error('there is no instance to kill');
  return next;
}

/** Kills the instance whose turn comes next while requests run, one after the other, and says what they noticed. */
async function killOne(running: Running): Promise<void> {
  const { instances } = running;
  const answers: Answer[] = [];
  const send = async (count: number): Promise<void> => {
    for (let sent = 0; sent < count; sent += 1) {
      answers.push(await ask(running.tunnelPort));
      await pause(betweenRequestsMs);
    }
  };
  await send(requestsBeforeDeath);
  const victim = nextInTurn(running);
  const diedAtMs = performance.now();
  victim.member.kill('SIGKILL');
  await send(requestsAfterDeath);
  await victim.member.exited;
  instances.splice(instances.indexOf(victim), 1);
  const gap = measureGap(diedAtMs, answers);
  say(`    killed instance-${victim.number} (${short(victim.id)}), pid ${victim.member.pid}, while requests ran`);
  say(`    gap: ${Math.round(gap.firstAnswerMs)} ms from the kill to the next answer, by another instance`);
  say(
    `    ${gap.asked} requests after the kill: ${gap.failed} failed, the slowest took ${Math.round(gap.slowestMs)} ms`,
  );
  const reasons = new Set(answers.filter(({ ok }) => !ok).map(({ text }) => text));
  if (gap.failed > 0)
    throw new Error(`${gap.failed} new connections failed after the kill: ${[...reasons].join('; ')}`);
}

async function begin(
  options: TourOptions,
  folder: DataFolder,
  fleet: Fleet,
  tell: (url: string) => void,
): Promise<Running> {
  const state = folder.readState();
  const port = await claimPort(options.port ?? (state.port || defaultPort));
  const pam = new Pam(folder.home, 'demo');
  step(`A router and a target on this machine; everything lies in ${folder.path}`);
  const targetPort = await startTarget(fleet, state.targetPort);
  const { router, address } = await startRouter(fleet, folder, port);
  tell(`https://${address}`);
  say(`    router https://${address}, web server 127.0.0.1:${targetPort}`);
  const hasOwner = state.done.includes('person');
  if (hasOwner && state.done.includes('gateway') && state.port !== port) await folder.move(address);
  state.port = port;
  folder.writeState(state);
  step(hasOwner ? 'What an earlier start made is used again' : 'An owner, an application, a gateway and a record');
  const code = hasOwner ? undefined : await setupCode(router);
  const said = (line: string): void => say(`    ${line}`);
  await setUp({ folder, state, pam, address, code, targetPort, maximum: options.maximum, say: said });
  step(`${options.instances} instances from one configuration, each a process of its own`);
  const turns = new Turns();
  const numbers = Array.from({ length: options.instances }, (_, index) => index + 1);
  const instances = await Promise.all(numbers.map((number) => startInstance(fleet, folder, turns, number)));
  for (const { number, id, member } of instances) say(`    instance-${number} is ${id}, pid ${member.pid}`);
  await waitForMembers(pam, instances.length);
  step('A tunnel to the web server through the pool');
  const { tunnel, port: tunnelPort } = await openTunnel(fleet, pam);
  return { folder, fleet, pam, turns, address, tunnelPort, instances, tunnel, router };
}

async function tour(running: Running): Promise<void> {
  const { pam, fleet, folder, turns, instances } = running;
  step('Requests, a new connection each: every instance in its turn, as it logged itself');
  await sendRounds(running, roundsBefore);
  await compareTurns(running);
  step('One instance is killed with SIGKILL; the requests go on');
  await killOne(running);
  say();
  say(indent(`$ pam gateway list -v\n${await pam.run(['gateway', 'list', '-v'])}`));
  step('A replacement starts from the same configuration');
  const replacement = await startInstance(fleet, folder, turns, Math.max(...instances.map(({ number }) => number)) + 1);
  instances.push(replacement);
  say(`    instance-${replacement.number} is ${replacement.id}, pid ${replacement.member.pid}`);
  await waitForMembers(pam, instances.length);
  await sendRounds(running, 1);
}

function tellWhatNext({ folder, address, tunnelPort }: Running): void {
  const pam = folder.pamPrefix();
  say();
  say('It all works:');
  say(`    router   https://${address}   data and logs: ${folder.path}`);
  say(`    sign-in  demo / ${folder.readPassword() ?? ''}   (${folder.signIn}; kit: ${folder.kit})`);
  say(`    tunnel   http://127.0.0.1:${tunnelPort}/`);
  say('To try next, in another terminal:');
  for (const command of [
    'gateway list -v',
    'session list --streams',
    'session why last',
    'record get demo-web',
    'audit verify',
  ]) {
    say(`    ${pam} ${command}`);
  }
  say(`    curl http://127.0.0.1:${tunnelPort}/`);
}

/** Resolves with the exit code when it is time to end: a signal, the death of npm, or of a part that cannot be missed. */
function untilAsked(): { readonly ended: Promise<string>; stop(why: string): void } {
  const { promise, resolve } = Promise.withResolvers<string>();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve(signal));
  whenNpmEnds(() => resolve('npm ended'));
  return { ended: promise, stop: resolve };
}

async function stay(running: Running, asked: ReturnType<typeof untilAsked>): Promise<number> {
  say();
  say('Everything stays up until Ctrl-C.');
  let isStaying = true;
  for (const member of [running.router, running.tunnel])
    void member.exited.then(() => asked.stop(`${member.name} ended`));
  for (const { number, member } of running.instances) {
    void member.exited.then(() => isStaying && say(`instance-${number} ended`));
  }
  const why = await asked.ended;
  isStaying = false;
  const isWish = /^SIG|^npm/.test(why);
  say(isWish ? 'Stopping.' : `Stopping: ${why}; see ${running.folder.logs}`);
  return isWish ? 0 : 1;
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2), process.env['INIT_CWD'] ?? process.cwd(), process.cwd());
  const lock = takeLock(options.dataDir);
  const asked = untilAsked();
  const folder = new DataFolder(options.dataDir);
  const fleet = new Fleet(folder.logs);
  // A reader of our output that is gone is no reason to leave children behind.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => asked.stop('SIGPIPE'));
  try {
    const work = (async () => {
      const running = await begin(options, folder, fleet, (url) => lock.tell(url));
      await tour(running);
      return running;
    })();
    // Interrupted while it runs: what it was waiting for fails as its children end.
    const outcome = await Promise.race([work, asked.ended]);
    if (typeof outcome === 'string') {
      work.catch(() => undefined);
      return exitInterrupted;
    }
    tellWhatNext(outcome);
    if (!options.once) return await stay(outcome, asked);
    say();
    say('Ended, because of --once. npm start goes on with the same folder and stays up.');
    return 0;
  } finally {
    await fleet.stopAll();
    lock.release();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  const stop =
    error instanceof TourStop
      ? error
      : new TourStop(1, `step ${steps} failed: ${error instanceof Error ? error.message : String(error)}`);
  (stop.exit === 0 ? process.stdout : process.stderr).write(`${stop.message}\n`);
  process.exitCode = stop.exit;
}
process.exit();
