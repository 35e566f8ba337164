import { escapeSchema, PamError, type Service, serviceSchema } from '@sallyport/protocol';
import { signService } from '@sallyport/seal';
import { z } from 'zod';
import type { Cli, Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { readText } from '../profile/file-store.ts';
import { resourceOf } from '../rotation/rotated-record.ts';
import { findPlace, machineOf } from '../rotation/script-place.ts';
import { findServed, serviceJson, writeServices } from '../rotation/service-holder.ts';
import { showJson } from '../terminal/show.ts';
import { nowSeconds } from '../time/clock.ts';
import { openVaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({
  record: z.string(),
  name: z.string().min(1).max(128),
  machine: z.string().optional(),
  as: z.string().optional(),
  unit: z.string().default(''),
  manager: z.enum(['systemd', 'sysv']).default('systemd'),
  file: z.string().default(''),
  template: z.string().optional(),
  escape: escapeSchema.optional(),
});
type Flags = z.infer<typeof flagsSchema>;
const templateMaxBytes = 8_192;

/** `pam rotation service-add`: a file and a unit that follow a rotation, signed by this device, which must be able to manage gateways. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const template = await readTemplate(flags);
  const session = await openVaultSession(cli);
  try {
    const { user, services } = await findServed(session, flags.record);
    if (services.some((one) => one.name === flags.name)) {
      throw new PamError('PAM_CONFLICT', `“${user.title}” has a service “${flags.name}” already`, {
        remedy: `Remove it first: pam rotation service-remove -r ${user.uid} -n ${JSON.stringify(flags.name)}.`,
      });
    }
    const { rotation } = user.facts;
    const resource = rotation?.resource ? await resourceOf(session.vault, rotation.resource) : null;
    const { machine, as } = await findPlace(session, user.app, flags, machineOf(resource));
    if (machine === undefined) throw usage('--machine', 'the account’s resource is no machine', 'Name one.');
    const draft = {
      ...{ name: flags.name, machine, ...(as === undefined ? {} : { as }) },
      ...{ unit: flags.unit, manager: flags.manager, file: flags.file, template, escape: flags.escape ?? 'raw' },
    } as const;
    const place = { app: user.app, holder: user.uid };
    const signed = await signService(draft, place, session.device.key, nowSeconds(cli.clock));
    const service = read({ ...draft, signed });
    await writeServices(session, user, [...services, service]);
    show(cli, service, user.uid);
    return undefined;
  } finally {
    session.close();
  }
};

const usage = (flag: string, problem: string, remedy: string): PamError =>
  new PamError('PAM_USAGE', `${flag}: ${problem}`, { remedy });

/** The template's text; '' without a file. */
async function readTemplate(flags: Flags): Promise<string> {
  const { file, template, escape } = flags;
  if (file === '') {
    if (template === undefined && escape === undefined) return '';
    throw usage('--file', 'a template goes into a file', 'Say which one.');
  }
  if (template === undefined || escape === undefined) {
    throw usage('--template, --escape', 'a file needs both', 'See pam rotation service-add --help.');
  }
  const text = await readText(template, templateMaxBytes);
  if (text === null) throw new PamError('PAM_NOT_FOUND', `there is no file ${template}`, { remedy: 'Check the path.' });
  if (!text.includes('{{password}}')) {
    throw usage('--template', `${template} has no {{password}}`, 'Write it where the secret shall stand.');
  }
  return text;
}

function read(service: Service): Service {
  const parsed = serviceSchema.safeParse(service);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues[0]?.path.join('.') ?? '';
  if (where === 'unit') throw usage('--unit', `“${service.unit}” is no name of a unit`, 'Give its name alone.');
  if (where === 'file') {
    throw usage('--file', `“${service.file}” is no path that can be signed`, 'Give an absolute one without . and ..');
  }
  throw usage('--unit, --file', 'there is nothing to do', 'Give one of them, or both.');
}

function show(cli: Cli, service: Service, holder: Parameters<typeof serviceJson>[1]): void {
  if (cli.format === 'json') return showJson(cli.terminal, serviceJson(service, holder));
  const what = [
    ...(service.file === '' ? [] : [`${service.file} is written`]),
    ...(service.unit === '' ? [] : [`${service.unit} restarted`]),
  ];
  cli.terminal.err(`“${service.name}”: ${what.join(', and ')} after each rotation.\n`);
}
