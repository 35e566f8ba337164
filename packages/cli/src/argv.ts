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
const globalsWithValue = ['--profile', '--proxy', '--carrier'];

/**
 * Arguments as commander understands them; everything after `--` is left alone. Global flags come first: commander
 * reads them there alone, so that a command may have a `--version` of its own.
 */
export function readArguments(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  const { globals, ours } = splitGlobals(end < 0 ? argv : argv.slice(0, end));
  const rest = end < 0 ? [] : argv.slice(end);
  const [word = '', verb, ...more] = ours;
  const group = Object.hasOwn(groupAliases, word) ? (groupAliases[word] ?? word) : word;
  if (!groupsWithList.includes(group) && group !== 'trust') {
    return [...globals, ...(ours.length === 0 ? [] : [group]), ...ours.slice(1).flatMap(splitShort), ...rest];
  }
  if (verb === undefined || verb.startsWith('-')) {
    const asksHelp = ours.some((one) => one === '-h' || one === '--help');
    const insert = asksHelp || group === 'trust' ? [] : ['list'];
    return [...globals, group, ...insert, ...ours.slice(1).flatMap(splitShort), ...rest];
  }
  const fullVerb = Object.hasOwn(verbAliases, verb) ? (verbAliases[verb] ?? verb) : verb;
  const flags = flagAliases[`${group} ${fullVerb}`] ?? {};
  return [...globals, group, fullVerb, ...more.flatMap((one) => translate(one, flags)), ...rest];
}

/** `--profile` and its like with their values, from wherever they stand. */
function splitGlobals(argv: readonly string[]): {
  readonly globals: readonly string[];
  readonly ours: readonly string[];
} {
  const globals: string[] = [];
  const ours: string[] = [];
  for (let at = 0; at < argv.length; at++) {
    const one = argv[at] ?? '';
    if (globalsWithValue.some((name) => one.startsWith(`${name}=`))) globals.push(one);
    else if (!globalsWithValue.includes(one)) ours.push(one);
    else {
      globals.push(...argv.slice(at, at + 2));
      at++;
    }
  }
  return { globals, ours };
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
