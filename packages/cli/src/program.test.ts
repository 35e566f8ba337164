import { readFileSync } from 'node:fs';
import { PamError, productVersion as version } from '@sallyport/protocol';
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { readArguments } from './argv.ts';
import { groups, topCommands } from './spec/index.ts';
import { buildProgram, parse } from './program.ts';

const program = buildProgram(version, () => undefined);
const leaves = (command: Command): readonly Command[] =>
  command.commands.length === 0 ? [command] : command.commands.flatMap((one) => leaves(one));
const nameOf = (command: Command): string =>
  command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;

function refusal(argv: readonly string[]): PamError {
  try {
    parse(version, argv);
  } catch (reason) {
    if (reason instanceof PamError) return reason;
    throw reason;
  }
  return new PamError('PAM_INTERNAL', 'it was accepted');
}

test('every command of this issue is there', () => {
  expect(leaves(program).map((one) => nameOf(one).replace('pam ', ''))).toEqual([
    ...['setup', 'quickstart', 'login', 'logout', 'whoami', 'recover', 'ssh-config'],
    ...['tunnel start', 'tunnel list', 'tunnel stop', 'tunnel edit', 'tunnel diagnose'],
    ...['gateway new', 'gateway list', 'gateway info', 'gateway edit', 'gateway set-max-instances'],
    ...['gateway cordon', 'gateway uncordon', 'gateway drain', 'gateway rekey', 'gateway remove'],
    ...['app new', 'app list', 'app remove'],
    ...['config new', 'config list', 'config edit', 'config remove'],
    ...['record new', 'record get', 'record list', 'record edit', 'record remove', 'record history'],
    ...['record accept-older', 'record import', 'record template', 'session list', 'session kill', 'session why'],
    ...['rotation edit', 'rotation list', 'rotation info', 'rotation history', 'rotation resolve', 'rotation targets'],
    ...['rotation script-list', 'rotation script-add', 'rotation script-edit', 'rotation script-remove'],
    ...['rotation service-list', 'rotation service-add', 'rotation service-remove'],
    ...['action rotate', 'action check', 'action after', 'action retire', 'action job-info', 'action job-cancel'],
    ...['action job-list'],
    ...['audit list', 'audit verify'],
    ...['trust log', 'trust head', 'trust verify', 'trust reopen', 'device list', 'profile list', 'profile use'],
  ]);
});

test('every command and every shown flag is described, and the help names the right program', () => {
  for (const command of leaves(program)) {
    expect(command.description()).toMatch(/^[a-z].{5,}$/);
    expect(command.helpInformation()).toContain(
      `Usage: ${nameOf(command)}`.replace('set-max-instances', 'set-max-instances|smi'),
    );
    for (const option of command.options) expect(option.description).toMatch(/.{4,}/);
  }
});

test('one letter means one thing in every command', () => {
  const meanings: Record<string, string> = {
    '-g': '--gateway',
    '-a': '--application',
    '-n': '--name',
    '-m': '--max-instances',
    '-p': '--port',
    '-v': '--verbose',
    '-o': '--output',
    '-i': '--instance',
    '-y': '--yes',
    '-r': '--record',
    '-x': '--complexity',
    '-e': '--token-expires-in-min',
    '-V': '--version',
    '-c': '--config',
    '-f': '--filter',
  };
  /** Words of the product that people have in their fingers. */
  const exceptions: Record<string, string> = {
    'pam gateway new -c': '--config-init',
    'pam gateway rekey -c': '--config-init',
    'pam gateway list -f': '--force',
    'pam action rotate -n': '--dry-run',
  };
  for (const command of [program, ...leaves(program)]) {
    for (const option of command.options) {
      if (option.short === undefined) continue;
      const wanted = exceptions[`${nameOf(command)} ${option.short}`] ?? meanings[option.short];
      expect([nameOf(command), option.long]).toEqual([nameOf(command), wanted]);
    }
  }
});

test('no flag has an underscore, and the aliases of the product stand in no help', () => {
  for (const command of leaves(program)) {
    const help = command.helpInformation();
    expect(help).not.toMatch(/--\w*_\w*/);
    expect(help).not.toMatch(/ -(th|tp|fg|bg|R|env|cn)[ ,]/);
  }
});

test('every command that shows something takes --format, and every group loads its command when it is called', async () => {
  for (const spec of [...topCommands, ...groups.flatMap((group) => group.commands)]) {
    const { run } = await spec.load();
    expect(run).toBeTypeOf('function');
  }
});

test('what commander refuses is a usage error that names the command to ask for help', () => {
  expect(refusal(['gateway', 'lst'])).toMatchObject({
    code: 'PAM_USAGE',
    message: expect.stringContaining("unknown command 'lst'"),
  });
  expect(refusal(['gateway', 'new', '-n', 'x'])).toMatchObject({ remedy: 'Run pam gateway new --help.' });
  expect(refusal(['gateway', 'list', 'extra'])).toMatchObject({
    message: expect.stringContaining('too many arguments'),
  });
  expect(refusal(['gateway'])).toMatchObject({ code: 'PAM_USAGE' });
  expect(refusal(['record', 'new', 'pamMachine', '--tunneling', 'maybe'])).toMatchObject({ code: 'PAM_USAGE' });
  expect(refusal(['gateway', 'list', '--format', 'yaml']).message).toContain('Allowed choices');
});

test('--version prints the version of the package', () => {
  const text: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  expect(text).toMatchObject({ version });
  expect(parse(version, ['--version']).parsed).toEqual({ kind: 'text', text: `${version}\n` });
});

test('a command may have a --version of its own', () => {
  const { parsed } = parse(version, ['record', 'get', 'web1', '--version', '1']);
  expect(parsed).toMatchObject({ kind: 'run', args: ['web1'], flags: { version: '1' } });
});

test('--profile is understood before and behind the command', () => {
  expect(parse(version, ['--profile', 'a', 'whoami']).profile).toBe('a');
  expect(parse(version, readArguments(['whoami', '--profile=a'])).profile).toBe('a');
});

test('the help of the program, word by word', () => {
  expect(program.helpInformation()).toMatchSnapshot('pam');
});

test.each(leaves(program).map((one) => [nameOf(one), one] as const))(
  'the help of %s, word by word',
  (name, command) => {
    expect(command.helpInformation()).toMatchSnapshot(name);
  },
);
