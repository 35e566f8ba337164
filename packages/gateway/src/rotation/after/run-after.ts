import { type ItemUid, PamError, type Script, type Service, type UserSecrets } from '@sallyport/protocol';
import { type JsonValue, type LogState, verifyScript, verifyService } from '@sallyport/seal';
import type { Log, Runtime } from '../../agent/index.ts';
import type { AfterRun, RunJobDeps } from '../execute/job-deps.ts';
import type { OpenedJob } from '../open-job.ts';
import { countOutcomes } from './count-outcomes.ts';
import { createMachines, type Machines } from './machines.ts';
import { formsOfSecrets } from './redact.ts';
import { renderTemplate } from './render-template.ts';
import { runOnGateway } from './run-on-gateway.ts';
import { runOnTarget } from './run-on-target.ts';
import type { AfterOutcome, ScriptEnd } from './script-end.ts';
import { type HeldScript, inputLine, scriptsInOrder } from './script-order.ts';
import { type ServiceEnd, updateOnTarget } from './update-service.ts';

export interface AfterDeps {
  readonly app: RunJobDeps['app'];
  readonly runtime: Runtime;
  readonly log: Log;
  readonly trust: () => LogState;
}

type ToldScript = ScriptEnd & { readonly name: string; readonly on: Script['on'] };
type ToldService = ServiceEnd & { readonly name: string; readonly unit: string; readonly file: string };

/** A note is an envelope of at most 64 Ki characters, and other things are told in it. */
const maxToldBytes = 24_576;
const notOurs = 'the job is another instance’s now';
const wordsOfBefore = {
  begun: 'it was begun, and its end was not seen: the instance that ran it was lost',
  done: 'it was done before; what it said is with the run of then',
  failed: 'it failed under an instance that was lost since; what it said is lost',
  unknown: 'it was begun before, and its end was not seen',
} as const;

/**
 * Runs what the record, its resource and its configuration want after a rotation. Services first: they hold the old
 * secret for as long as it takes, and wait for no script; each is on its own. Then the scripts, each only after the one
 * before it. Nothing that fails undoes the rotation.
 *
 * A script is begun once in a job, whoever holds it: what it does may do harm a second time, and one that a lost instance
 * began may still run. A service of which no end was kept is brought about again: its file is exchanged whole.
 */
export function createAfter(deps: AfterDeps): RunJobDeps['after'] {
  const { app, log } = deps;

  async function runScript(job: OpenedJob, run: AfterRun, machines: Machines, held: HeldScript): Promise<ToldScript> {
    const { script, holder } = held;
    const { name, on } = script;
    const id = job.names.followUp('script', holder, script.signed);
    const before = run.followUps.before.get(id);
    if (before !== undefined) return notRun(held, before === 'begun' ? 'unknown' : before, wordsOfBefore[before]);
    try {
      await verifyScript(script, { app, holder }, deps.trust());
      if (on === 'target' && script.machine === undefined && script.records.length > 0) {
        // Whoever points the account elsewhere would else be handed them.
        throw new PamError('PAM_ORDER_INVALID', 'records are given only on a machine that the script names');
      }
      const records = await Promise.all(script.records.map((uid) => recordOf(job, uid)));
      const [oldSecret, newSecret] = [run.oldSecrets, run.newSecrets].map((secrets) => secretOf(job, secrets));
      const input = { user: job.user.login, oldPassword: oldSecret ?? '', newPassword: newSecret ?? '', records };
      const line = inputLine(input);
      const secrets = [run.oldSecrets, run.newSecrets, ...records.map((record) => record.secrets)].flatMap(valuesOf);
      const given = { line, forms: formsOfSecrets([...secrets, line.trim()]) };
      if (on === 'gateway') {
        if (!(await mayBegin(run, id, true))) return notRun(held, 'skipped', notOurs);
        const end = await runOnGateway(script, given, deps.runtime);
        await run.followUps.end(id, true, endOf(end.result));
        return { name, on, ...end };
      }
      const machine = await machines.open(script);
      if (!(await mayBegin(run, id, true))) return notRun(held, 'skipped', notOurs);
      const end = await runOnTarget(script, machine, given, deps.runtime, run.signal);
      await run.followUps.end(id, true, endOf(end.result));
      if (end.result === 'unknown') await machines.drop(machine);
      return { name, on, ...end };
    } catch (reason) {
      return notRun(held, 'failed', wordsOf(reason));
    }
  }

  async function updateOne(job: OpenedJob, run: AfterRun, machines: Machines, service: Service): Promise<ToldService> {
    const { name, unit, file } = service;
    const holder = job.offer.record;
    const not = (result: AfterOutcome, message: string): ToldService => ({
      ...{ name, unit, file, result, written: false, restarted: false, message },
    });
    const id = job.names.followUp('service', holder, service.signed);
    const before = run.followUps.before.get(id);
    if (before !== undefined && before !== 'begun') return not(before, wordsOfBefore[before]);
    try {
      await verifyService(service, { app, holder }, deps.trust());
      const password = secretOf(job, run.newSecrets);
      if (file !== '' && password === undefined) return not('failed', 'there is no secret to write');
      const values = { user: job.user.login, password: password ?? '' };
      const content = file === '' ? '' : renderTemplate(service.template, service.escape, values);
      const machine = await machines.open(service);
      if (!(await mayBegin(run, id, false))) return not('skipped', notOurs);
      const secrets = [run.oldSecrets, run.newSecrets].flatMap(valuesOf);
      const end = await updateOnTarget(service, content, machine, { holder, epoch: run.epoch, secrets }, run.signal);
      if (end.result !== 'skipped') await run.followUps.end(id, false, end.result);
      if (end.result === 'unknown') await machines.drop(machine);
      return { name, unit, file, ...end };
    } catch (reason) {
      return not('failed', wordsOf(reason));
    }
  }

  return async (job, run) => {
    const machines = createMachines(job, run);
    try {
      const services: ToldService[] = [];
      for (const service of job.settings.services) services.push(await updateOne(job, run, machines, service));
      const scripts: ToldScript[] = [];
      let ok = true;
      for (const held of await scriptsOf(job)) {
        const told: ToldScript = ok
          ? await runScript(job, run, machines, held)
          : notRun(held, 'skipped', 'not run: the one before it failed');
        ok = ok && told.result === 'done';
        scripts.push(told);
      }
      scripts.push(...(await lostSince(job, run)));
      const counts = countOutcomes(scripts, services);
      const bad = [...scripts, ...services].filter(({ result }) => result !== 'done');
      if (bad.length > 0)
        log.warn('not all that follows a rotation was done', { job: job.offer.job, notDone: bad.length });
      return { counts, told: counts === null ? null : fitting(scripts, services) };
    } finally {
      await machines.close();
    }
  };
}

/** What a lost instance began and nobody finds any more, because it was edited or taken away meanwhile. */
async function lostSince(job: OpenedJob, run: AfterRun): Promise<readonly ToldScript[]> {
  const { followUp } = job.names;
  const there = new Set([
    ...job.settings.services.map(({ signed }) => followUp('service', job.offer.record, signed)),
    ...(await scriptsOf(job)).map(({ script, holder }) => followUp('script', holder, script.signed)),
  ]);
  const lost = [...run.followUps.before].filter(([name, state]) => state === 'begun' && !there.has(name));
  return lost.map(() => ({
    ...{ name: 'edited since', on: 'gateway' as const, result: 'unknown' as const },
    ...{ exitCode: null, signal: null, timedOut: false, ms: 0, output: wordsOfBefore.begun },
  }));
}

/** Kept by the store, and then still ours: the other way round somebody else could begin it meanwhile. */
async function mayBegin(run: AfterRun, name: string, isOnce: boolean): Promise<boolean> {
  return (await run.mayAct()) && (await run.followUps.begin(name, isOnce)) && (await run.mayAct());
}

/** A script that was begun is never `skipped`. */
function endOf(result: AfterOutcome): 'done' | 'failed' | 'unknown' {
  return result === 'skipped' ? 'unknown' : result;
}

async function scriptsOf({ user, configuration, settings, items, offer }: OpenedJob): Promise<readonly HeldScript[]> {
  const resource = settings.resource === null ? null : await items.resource(settings.resource);
  return scriptsInOrder(
    { uid: offer.record, scripts: user.rotation?.scripts },
    settings.resource === null ? null : { uid: settings.resource, scripts: resource?.rotationScripts },
    { uid: configuration.uid, scripts: configuration.facts.rotationScripts },
  );
}

function notRun({ script }: HeldScript, result: AfterOutcome, output: string): ToldScript {
  const { name, on } = script;
  return { name, on, result, exitCode: null, signal: null, timedOut: false, ms: 0, output };
}

function wordsOf(reason: unknown): string {
  const error = PamError.from(reason, 'PAM_INTERNAL', 'it could not be run');
  return `${error.code}: ${error.message}`;
}

async function recordOf({ items }: OpenedJob, uid: ItemUid) {
  const { type } = items.item(uid);
  const facts = await items.facts(uid);
  return { uid, type, facts, secrets: type === 'pamUser' ? await items.secrets(uid) : null };
}

/** What was changed: the password, or the key. */
function secretOf({ settings }: OpenedJob, secrets: UserSecrets | null): string | undefined {
  return settings.changes === 'ssh-key' ? secrets?.privatePemKey : secrets?.password;
}

function valuesOf(secrets: UserSecrets | null): readonly string[] {
  if (secrets === null) return [];
  const { custom, ...own } = secrets;
  return [...Object.values(own), ...Object.values(custom)].filter((value) => typeof value === 'string');
}

/** What is told of all of them, in the room that a note has. */
function fitting(scripts: readonly ToldScript[], services: readonly ToldService[]): JsonValue {
  const share = Math.floor(maxToldBytes / Math.max(1, scripts.length + services.length));
  return {
    services: services.map((told) => ({ ...told, message: lastOf(told.message, share) })),
    scripts: scripts.map((told) => ({ ...told, output: lastOf(told.output, share) })),
  };
}

/** The end of an output that takes at most so many bytes in JSON: what went wrong stands last. */
function lastOf(output: string, maxBytes: number): string {
  let text = output;
  for (;;) {
    const bytes = Buffer.byteLength(JSON.stringify(text));
    if (bytes <= maxBytes) return text;
    // Shorter each time, by one character at least.
    const chars = Math.min(text.length - 1, Math.floor((text.length * maxBytes) / bytes));
    text = text.slice(text.length - chars).toWellFormed();
  }
}
