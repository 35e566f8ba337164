import { request } from 'node:http';
import { PamError } from '@sallyport/protocol';
import { askHealth, type Health, healthSchema } from './health.ts';
import { parseJson } from './private-file.ts';
import { oneOf } from './program-log.ts';
import type { Settings } from './settings.ts';
import { defaultHome, existingFolders, instancesFolder } from './state-folder.ts';
import { writeLine } from './system-stdio.ts';

const unavailable = 69;

async function askPort(port: number): Promise<Health | null> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const asking = request({ host: '127.0.0.1', port, path: '/', timeout: 5_000, agent: false }, (response) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      text = (text + chunk).slice(0, 16_384);
    });
    response.on('end', () => resolve(text));
  });
  asking.on('timeout', () => asking.destroy());
  asking.on('error', () => resolve(''));
  asking.end();
  const parsed = healthSchema.safeParse(parseJson(await promise));
  return parsed.success ? parsed.data : null;
}

/** Asks the folder named, or the one instance that runs under HOME/instances. */
async function ask(settings: Settings): Promise<Health | null> {
  const port = settings.whole('health-port', { least: 1, most: 65_535 });
  if (port !== undefined) return askPort(port);
  const named = settings.text('state-dir');
  if (named !== undefined) return askHealth(named);
  const home = defaultHome(process.env);
  const answers = await Promise.all(existingFolders(home).map(askHealth));
  const running = answers.filter((answer) => answer !== null);
  if (running.length <= 1) return running[0] ?? null;
  throw new PamError('PAM_AMBIGUOUS', `${running.length} instances run under ${instancesFolder(home)}`, {
    remedy: 'Name one with --state-dir.',
  });
}

/** `pam-gateway health-check`: one line; 0 when the instance is ready (slot or standby, link up), else 69. */
export async function runHealthCheck(settings: Settings): Promise<number> {
  const format = oneOf('format', settings.text('format') ?? 'text', ['text', 'json'] as const);
  const health = await ask(settings);
  if (format === 'json') writeLine(`${JSON.stringify(health ?? { ready: false, why: 'no instance answers' })}\n`);
  else if (health === null) writeLine('not ready: no instance answers\n');
  else {
    const { ready, membership, instance, streams, router, why } = health;
    const word = ready ? `ready (${membership})` : 'not ready';
    writeLine(`${word}: instance ${instance}, ${streams} streams, router ${router}${why === '' ? '' : `: ${why}`}\n`);
  }
  return health?.ready === true ? 0 : unavailable;
}
