import { type ItemUid, PamError, type UserSecrets } from '@sallyport/protocol';
import { type JsonValue, type LogState, verifyScript } from '@sallyport/seal';
import type { Log, Runtime } from '../../agent/index.ts';
import type { OpenedJob } from '../open-job.ts';
import type { RunJobDeps } from '../execute/job-deps.ts';
import { formsOfSecrets } from './redact.ts';
import { runOnGateway, type ScriptEnd } from './run-on-gateway.ts';
import { type HeldScript, inputLine, scriptsInOrder } from './script-order.ts';

export interface AfterDeps {
  readonly app: RunJobDeps['app'];
  readonly runtime: Runtime;
  readonly log: Log;
  readonly trust: () => LogState;
}

type After = RunJobDeps['after'];
type Told = ScriptEnd & { readonly name: string; readonly on: 'gateway' | 'target' };

/** A note is an envelope of at most 64 Ki characters, and other things are told in it. */
const maxToldBytes = 24_576;

/** Runs what the record, its resource and its configuration want after a rotation; nothing that fails undoes it. */
export function createAfter(deps: AfterDeps): After {
  const { app, log } = deps;

  async function runOne(job: OpenedJob, run: Parameters<After>[1], held: HeldScript): Promise<Told> {
    const { script, holder } = held;
    const { name, on } = script;
    try {
      await verifyScript(script, { app, holder }, deps.trust());
      if (on === 'target') return notRun(held, 'scripts on the target are not run yet: run it on the gateway');
      const records = await Promise.all(script.records.map((uid) => recordOf(job, uid)));
      const [oldSecret, newSecret] = [run.oldSecrets, run.newSecrets].map((secrets) => secretOf(job, secrets));
      const input = { user: job.user.login, oldPassword: oldSecret ?? '', newPassword: newSecret ?? '', records };
      const line = inputLine(input);
      const secrets = [run.oldSecrets, run.newSecrets, ...records.map((record) => record.secrets)].flatMap(valuesOf);
      const forms = formsOfSecrets([...secrets, line.trim()]);
      return { name, on, ...(await runOnGateway(script, { line, forms }, deps.runtime)) };
    } catch (reason) {
      const error = PamError.from(reason, 'PAM_INTERNAL', 'the script could not be run');
      return notRun(held, `${error.code}: ${error.message}`);
    }
  }

  return async (job, run) => {
    const { user, configuration, settings, items, offer } = job;
    const resource = settings.resource === null ? null : await items.resource(settings.resource);
    const order = scriptsInOrder(
      { uid: offer.record, scripts: user.rotation?.scripts },
      settings.resource === null ? null : { uid: settings.resource, scripts: resource?.rotationScripts },
      { uid: configuration.uid, scripts: configuration.facts.rotationScripts },
    );
    const scripts: Told[] = [];
    let ok = true;
    for (const held of order) {
      const told: Told = ok ? await runOne(job, run, held) : notRun(held, 'not run: the one before it failed');
      ok = ok && told.exitCode === 0 && !told.timedOut;
      scripts.push(told);
    }
    const services = settings.services.map(({ unit, file }) => ({
      ...{ unit, file, ok: false, message: 'services are not updated yet: use a script on the gateway' },
    }));
    if (!ok) log.warn('a script after a rotation failed', { job: offer.job });
    const share = Math.floor(maxToldBytes / Math.max(1, scripts.length));
    const shown = scripts.map((told) => ({ ...told, output: lastOf(told.output, share) }));
    const told = { scripts: shown, services } satisfies JsonValue;
    return { ok: ok && services.length === 0, told: shown.length + services.length === 0 ? null : told };
  };
}

function notRun({ script }: HeldScript, output: string): Told {
  return { name: script.name, on: script.on, exitCode: null, signal: null, timedOut: false, ms: 0, output };
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
