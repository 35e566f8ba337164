import { PamError } from '@sallyport/protocol';
import { Command, CommanderError, Option } from 'commander';
import type { Run } from './cli.ts';
import { type CommandSpec, type FlagSpec, groups, topCommands } from './spec/index.ts';

/** What commander found: the command to run with its arguments and flags, or text to print. */
export type Parsed =
  | {
      readonly kind: 'run';
      readonly load: () => Promise<{ readonly run: Run }>;
      readonly args: readonly string[];
      readonly flags: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: 'text'; readonly text: string };

/** Builds the whole command line. `found` is called with the command that was named. */
export function buildProgram(version: string, found: (parsed: Parsed) => void): Command {
  const program = new Command('pam')
    .description('Sallyport: reach machines, databases and web pages through pools of gateways.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand(false)
    .enablePositionalOptions()
    .addOption(new Option('--profile <name>', 'profile to use (default: the current one)').env('SALLYPORT_PROFILE'))
    .addOption(
      new Option('--proxy <url>', 'HTTP proxy on the way to the router; none = no proxy (default: HTTPS_PROXY)').env(
        'SALLYPORT_PROXY',
      ),
    )
    .addOption(
      new Option('--carrier <kind>', 'what streams travel in: tcp (default), websocket (inside TLS), auto').env(
        'SALLYPORT_CARRIER',
      ),
    )
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .showSuggestionAfterError(true)
    .addHelpText('after', globalHelp);
  for (const spec of topCommands) addCommand(program, spec, found);
  for (const group of groups) {
    const command = program.command(group.name).description(group.about).helpCommand(false);
    for (const spec of group.commands) addCommand(command, spec, found);
  }
  return program;
}

const globalHelp = `
Environment and file: a flag comes first, then the environment, then $SALLYPORT_HOME/pam.json.
  SALLYPORT_HOME      folder of the profiles (default ~/.sallyport)
  SALLYPORT_PROFILE   --profile      "profile" in pam.json
  SALLYPORT_FORMAT    --format       "format" in pam.json
  SALLYPORT_PROXY     --proxy        "proxy" in pam.json, else HTTPS_PROXY; NO_PROXY lists what it is not for
  SALLYPORT_CARRIER   --carrier      "carrier" in pam.json
Data goes to standard output, everything else to standard error.
Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 conflict or limit, 5 not allowed, 6 not signed in,
69 unavailable, 75 try again, 130 interrupted.`;

function addCommand(parent: Command, spec: CommandSpec, found: (parsed: Parsed) => void): void {
  const command = parent
    .command(spec.args === undefined ? spec.name : `${spec.name} ${spec.args}`)
    .description(spec.about);
  if (spec.alias !== undefined) command.alias(spec.alias);
  if (spec.more !== undefined) command.addHelpText('after', `\n${spec.more}`);
  for (const flag of spec.flags ?? []) command.addOption(toOption(flag));
  if (spec.shows === true) {
    command.addOption(new Option('--format <format>', 'how to print data').choices(['table', 'json']));
  }
  command.allowExcessArguments(false);
  command.action(() => {
    found({ kind: 'run', load: async () => spec.load(), args: command.args, flags: command.opts() });
  });
}

function toOption(spec: FlagSpec): Option {
  const option = new Option(spec.flag, spec.repeat === true ? `${spec.about} (may be repeated)` : spec.about);
  if (spec.choices !== undefined) option.choices(spec.choices);
  if (spec.required === true) option.makeOptionMandatory();
  if (spec.hidden === true) option.hideHelp();
  if (spec.repeat === true) {
    option.argParser((value: string, before: readonly string[] | undefined) => [...(before ?? []), value]);
  }
  return option;
}

/** Reads arguments. Text for help and version; PAM_USAGE for everything commander refuses. */
export function parse(
  version: string,
  argv: readonly string[],
): {
  readonly parsed: Parsed;
  readonly profile: string | undefined;
  readonly proxy: string | undefined;
  readonly carrier: string | undefined;
} {
  let parsed: Parsed | undefined;
  let text = '';
  const program = buildProgram(version, (one) => {
    parsed = one;
  });
  for (const command of [program, ...descendants(program)]) {
    command.exitOverride();
    command.configureOutput({
      writeOut: (more) => {
        text += more;
      },
      writeErr: (more) => {
        text += more;
      },
      outputError: () => undefined,
    });
  }
  try {
    program.parse([...argv], { from: 'user' });
  } catch (reason) {
    if (!(reason instanceof CommanderError)) throw reason;
    if (reason.exitCode === 0) {
      return { parsed: { kind: 'text', text }, profile: undefined, proxy: undefined, carrier: undefined };
    }
    if (reason.code === 'commander.help') throw usage('a command is missing', argv, program);
    throw usage(reason.message.replace(/^error: /, ''), argv, program);
  }
  const globalOf = (name: string): string | undefined => {
    const value: unknown = program.opts()[name];
    return typeof value === 'string' ? value : undefined;
  };
  if (parsed === undefined) throw usage('a command is missing', argv, program);
  return { parsed, profile: globalOf('profile'), proxy: globalOf('proxy'), carrier: globalOf('carrier') };
}

function descendants(command: Command): readonly Command[] {
  return command.commands.flatMap((one) => [one, ...descendants(one)]);
}

function usage(message: string, argv: readonly string[], program: Command): PamError {
  let command = program;
  for (const word of argv) {
    const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (next !== undefined) command = next;
  }
  const names: string[] = [];
  for (let one: Command | null = command; one !== null; one = one.parent) names.unshift(one.name());
  return new PamError('PAM_USAGE', message.replaceAll('\n', ' ').replace(/\s+/g, ' '), {
    remedy: `Run ${names.join(' ')} --help.`,
  });
}
