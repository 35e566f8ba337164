import { createHash } from 'node:crypto';
import type { ItemUid, Service } from '@sallyport/protocol';
import { endLine, exits, type RunEnd, runProgram } from '../../kind/index.ts';
import type { Machine } from './machines.ts';
import { formsOfSecrets, redact } from './redact.ts';
import type { AfterOutcome } from './script-end.ts';
import { restartedLine, serviceExits, updateService, writtenLine } from './target-programs.ts';

/** systemd gives a unit 90 s to start, and as long to stop. */
const withinMs = 200_000;
/** Of what the machine says: what went wrong stands last. Cut only when no secret is in it any more. */
const maxMessageChars = 2_048;
const maxReadChars = 65_536;

/** How far it came. `written` is what was asked for and done. */
export interface ServiceEnd {
  readonly result: AfterOutcome;
  readonly written: boolean;
  readonly restarted: boolean;
  readonly message: string;
}

/** Writes a service's file and restarts its unit, as root. Never rejects for what the machine does. */
export async function updateOnTarget(
  service: Service,
  content: string,
  { host, secrets }: Machine,
  at: { readonly holder: ItemUid; readonly epoch: number; readonly secrets: readonly string[] },
  signal: AbortSignal,
): Promise<ServiceEnd> {
  const hidden = [...at.secrets, ...secrets];
  const key = createHash('sha256')
    .update(JSON.stringify([at.holder, service.name]))
    .digest('hex');
  const encoded = Buffer.from(content).toString('base64');
  const values = [`service-${key}`, String(at.epoch), service.file, encoded, service.unit, service.manager, endLine];
  const end = await runProgram(host, 'root', { program: updateService }, { values, limitMs: withinMs }, signal);
  const forms = formsOfSecrets([...hidden, content]);
  return readEnd(end, service, (text) =>
    redact(text, forms, maxReadChars).trim().slice(-maxMessageChars).toWellFormed(),
  );
}

function readEnd(end: RunEnd, { file, unit }: Service, shown: (text: string) => string): ServiceEnd {
  const stdout = end.kind === 'ended' ? end.stdout : '';
  const written = stdout.includes(`${writtenLine}\n`);
  const restarted = stdout.includes(`${restartedLine}\n`);
  const ended = (result: AfterOutcome, message: string): ServiceEnd => ({ result, written, restarted, message });
  if (end.kind === 'lost') return ended('unknown', `${end.message}: nobody knows how far it came`);
  if (end.kind === 'not-started') return ended('failed', shown(end.message));
  const words = shown(end.stderr) || `exit code ${end.code}`;
  switch (end.code) {
    case 0:
      if (written === (file !== '') && restarted === (unit !== '')) return ended('done', shown(end.stderr));
      return ended('unknown', 'the machine’s answer is cut short');
    case exits.fenced:
      return ended('skipped', 'a later holder of the job has updated it');
    case serviceExits.notOurs:
      return ended('failed', `not written: ${words}`);
    case serviceExits.cannotWrite:
      return ended('failed', `could not be written: ${words}`);
    case serviceExits.notRestarted:
      return ended('failed', `${written ? 'written, and ' : ''}not restarted: ${words}`);
    case 124:
    case 137:
    case 143:
      return ended('unknown', 'it did not end within its limit');
    default:
      return ended('failed', words);
  }
}
