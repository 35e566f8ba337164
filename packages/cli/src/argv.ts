/**
 * One pass over the arguments before commander sees them: the group and verb aliases of the product we follow, its
 * short flags of several letters (commander takes one letter only), `-x=value`, and the verb `list` for a bare group.
 * Help shows none of these.
 *
 * One letter means one thing everywhere (answers 21), so the product's letters that mean something else in each verb
 * (`-o`, `-c`, `-r`, `-f`, `-s`) are not translated.
 */
const groupAliases: Readonly<Record<string, string>> = {
  g: 'gateway',
  c: 'config',
  t: 'tunnel',
  a: 'action',
  r: 'rotation',
  n: 'connection',
  application: 'app',
  rec: 'record',
};
const verbAliases: Readonly<Record<string, string>> = {
  l: 'list',
  n: 'new',
  e: 'edit',
  rm: 'remove',
  s: 'start',
  x: 'stop',
};
const flagAliases: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'tunnel start': {
    '-th': '--target-host',
    '-tp': '--target-port',
    '-fg': '--foreground',
    '-bg': '--background',
    '-R': '--run',
  },
  'config new': { '-env': '--environment', '-cn': '--connections', '-t': '--title' },
  'config edit': { '-env': '--environment', '-cn': '--connections', '-t': '--title' },
};
const groupsWithList = ['gateway', 'config', 'tunnel', 'app', 'record', 'session', 'audit', 'device', 'profile'];
const globalsWithValue = ['--profile'];

/** Arguments as commander understands them; everything after `--` is left alone. */
export function readArguments(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  const ours = end < 0 ? argv : argv.slice(0, end);
  const rest = end < 0 ? [] : argv.slice(end);
  const at = firstWord(ours, 0);
  const word = ours[at];
  if (word === undefined) return [...argv];
  const group = groupAliases[word] ?? word;
  const verbAt = afterGlobals(ours, at + 1);
  const verb = ours[verbAt];
  const before = ours.slice(0, at);
  const isGroup = groupsWithList.includes(group) || group === 'trust';
  if (!isGroup)
    return [
      ...before,
      group,
      ...ours
        .slice(at + 1)
        .map((one) => splitShort(one))
        .flat(),
      ...rest,
    ];
  const between = ours.slice(at + 1, verbAt);
  if (verb === undefined || verb.startsWith('-')) {
    const asksHelp = ours.slice(at + 1).some((one) => one === '-h' || one === '--help');
    const insert = asksHelp || group === 'trust' ? [] : ['list'];
    return [...before, group, ...insert, ...ours.slice(at + 1), ...rest];
  }
  const fullVerb = verbAliases[verb] ?? verb;
  const flags = flagAliases[`${group} ${fullVerb}`] ?? {};
  const tail = ours.slice(verbAt + 1).flatMap((one) => translate(one, flags));
  return [...before, ...between, group, fullVerb, ...tail, ...rest];
}

/** Index of the next word that is no flag, skipping the values of global flags. */
function firstWord(argv: readonly string[], from: number): number {
  for (let at = from; at < argv.length; at++) {
    const one = argv[at] ?? '';
    if (globalsWithValue.includes(one)) at++;
    else if (!one.startsWith('-')) return at;
  }
  return argv.length;
}

/** Index of what follows global flags: the verb, a flag of the default verb, or the end. */
function afterGlobals(argv: readonly string[], from: number): number {
  let at = from;
  while (at < argv.length) {
    const one = argv[at] ?? '';
    if (globalsWithValue.includes(one)) at += 2;
    else if (globalsWithValue.some((name) => one.startsWith(`${name}=`))) at++;
    else return at;
  }
  return argv.length;
}

function translate(one: string, flags: Readonly<Record<string, string>>): readonly string[] {
  const [name = '', ...value] = one.split('=');
  const long = Object.hasOwn(flags, name) ? flags[name] : undefined;
  if (long !== undefined) return [[long, ...value].join('=')];
  return splitShort(one);
}

/** `-p=22` is `-p 22`. */
function splitShort(one: string): readonly string[] {
  const match = /^(-[A-Za-z])=(.*)$/s.exec(one);
  return match === null ? [one] : [match[1] ?? '', match[2] ?? ''];
}

/** The format asked for, read without commander: usage errors are shown in it too. */
export function askedFormat(argv: readonly string[]): string | undefined {
  for (const [at, one] of argv.entries()) {
    if (one === '--') return undefined;
    if (one === '--format') return argv[at + 1];
    if (one.startsWith('--format=')) return one.slice('--format='.length);
  }
  return undefined;
}
