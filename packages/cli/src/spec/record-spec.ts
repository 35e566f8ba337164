import type { FlagSpec, GroupSpec } from './command-spec.ts';
import { application, gateway, onOff, onOffDefault, passwordStdin, yes } from './shared-flags.ts';

const recordFields: readonly FlagSpec[] = [
  { flag: '-c, --config <name|uid>', about: 'its PAM configuration' },
  { flag: '--host <host>', about: 'host of the target: a name, or an address in its usual form' },
  { flag: '-p, --port <port>', about: 'port of the target, 1 to 65535' },
  { flag: '--server-identity <pin>', about: 'what the server must prove: a pin, or first-seen (default)' },
  { flag: '--allow-supply-host <on|off>', about: 'whether a tunnel may name another host and port', choices: onOff },
  { flag: '--connections <switch>', about: 'allow interactive connections', choices: onOffDefault },
  { flag: '--tunneling <switch>', about: 'allow tunnels', choices: onOffDefault },
  { flag: '--rotation <switch>', about: 'allow password rotation', choices: onOffDefault },
  { flag: '--recording <switch>', about: 'record sessions', choices: onOffDefault },
  {
    flag: '--credential <record[:admin|launch]>',
    about: 'a pamUser record it uses; also signs that record for this target',
    repeat: true,
  },
  { flag: '--login <name>', about: 'sign-in name of a pamUser' },
  {
    flag: '--field <key=value>',
    about: 'any other field of the type; unknown keys become custom fields',
    repeat: true,
  },
  { flag: '--tag <tag>', about: 'a tag', repeat: true },
  { flag: '--notes <text>', about: 'notes' },
  passwordStdin,
  { flag: '--generate', about: 'draw a random password for a pamUser' },
  { flag: '--from <file>', about: 'take the fields from JSON in a file, or - for standard input' },
];
const configPermissions: readonly FlagSpec[] = [
  { flag: '--connections <switch>', about: 'allow interactive connections (absent: off)', choices: onOff },
  { flag: '--tunneling <switch>', about: 'allow tunnels (absent: off)', choices: onOff },
  { flag: '--rotation <switch>', about: 'allow password rotation (absent: off)', choices: onOff },
  { flag: '--recording <switch>', about: 'record sessions (absent: off)', choices: onOff },
];
const verbose: FlagSpec = { flag: '-v, --verbose', about: 'more columns in the table; JSON always has all of them' };
const environment: FlagSpec = {
  flag: '--environment <name>',
  about: 'only local exists',
  choices: ['local'],
  hidden: true,
};
const title: FlagSpec = { flag: '--title <title>', about: 'the same as --name', hidden: true };
const networkCidr: FlagSpec = {
  flag: '--network-cidr <cidr>',
  about: 'the same as --network',
  repeat: true,
  hidden: true,
};

export const appGroup: GroupSpec = {
  name: 'app',
  about: 'applications: sets of records and the keys that open them',
  commands: [
    {
      name: 'new',
      args: '<name>',
      about: 'make an application',
      shows: true,
      load: async () => import('../commands/app-new.ts'),
    },
    { name: 'list', about: 'every application', shows: true, load: async () => import('../commands/app-list.ts') },
    {
      name: 'remove',
      args: '<name>',
      about: 'remove an application; asks first',
      flags: [yes],
      load: async () => import('../commands/app-remove.ts'),
    },
  ],
};

export const configGroup: GroupSpec = {
  name: 'config',
  about: 'PAM configurations: a gateway, networks and what is permitted',
  commands: [
    {
      name: 'new',
      about: 'make a PAM configuration',
      flags: [
        { flag: '-n, --name <title>', about: 'its title' },
        application,
        gateway,
        {
          flag: '--network <cidr>',
          about: 'a network whose addresses may be dialled although they are private or special',
          repeat: true,
        },
        ...configPermissions,
        { flag: '--tag <tag>', about: 'a tag', repeat: true },
        { flag: '--notes <text>', about: 'notes' },
        ...[environment, title, networkCidr],
      ],
      shows: true,
      load: async () => import('../commands/config-new.ts'),
    },
    {
      name: 'list',
      about: 'every PAM configuration, or one in full',
      flags: [{ flag: '-c, --config <name|uid>', about: 'only this one' }, verbose],
      shows: true,
      load: async () => import('../commands/config-list.ts'),
    },
    {
      name: 'edit',
      args: '<config>',
      about: 'change a PAM configuration; what is not named stays',
      flags: [
        { flag: '-n, --name <title>', about: 'a new title' },
        { flag: '-g, --gateway <name|uid>', about: 'another gateway of the same application' },
        { flag: '--network <cidr>', about: 'add a network', repeat: true },
        { flag: '--remove-network <cidr>', about: 'take a network out', repeat: true },
        { flag: '--rotation-cron <expression>', about: 'a schedule that records may take; none takes it away' },
        { flag: '--rotation-tz <zone>', about: 'its time zone (default Etc/UTC)' },
        ...configPermissions,
        { flag: '--tag <tag>', about: 'its tags, instead of those it has', repeat: true },
        { flag: '--notes <text>', about: 'notes' },
        ...[environment, title, networkCidr],
      ],
      shows: true,
      load: async () => import('../commands/config-edit.ts'),
    },
    {
      name: 'remove',
      args: '<config>',
      about: 'remove a PAM configuration; asks first',
      flags: [yes],
      load: async () => import('../commands/config-remove.ts'),
    },
  ],
};

export const recordGroup: GroupSpec = {
  name: 'record',
  about: 'records: machines, databases, directories, web pages and their users',
  commands: [
    {
      name: 'new',
      args: '<type>',
      about: 'make a record: pamMachine, pamDatabase, pamDirectory, pamRemoteBrowser or pamUser',
      flags: [{ flag: '-n, --name <title>', about: 'its title' }, application, ...recordFields, title],
      shows: true,
      load: async () => import('../commands/record-new.ts'),
    },
    {
      name: 'get',
      args: '<record>',
      about: 'show a record; secrets only with --unmask',
      flags: [
        { flag: '--unmask', about: 'show the secrets too' },
        { flag: '--version <revision>', about: 'an earlier revision of it, as record history numbers them' },
      ],
      shows: true,
      load: async () => import('../commands/record-get.ts'),
    },
    {
      name: 'list',
      about: 'every record',
      flags: [
        application,
        { flag: '--type <type>', about: 'only this type' },
        { flag: '--tag <tag>', about: 'only with this tag' },
        verbose,
      ],
      shows: true,
      load: async () => import('../commands/record-list.ts'),
    },
    {
      name: 'edit',
      args: '<record>',
      about: 'change a record; what is not named stays',
      flags: [
        { flag: '-n, --name <title>', about: 'a new title' },
        ...recordFields,
        { flag: '--remove-credential <record>', about: 'take a credential out', repeat: true },
        title,
      ],
      shows: true,
      load: async () => import('../commands/record-edit.ts'),
    },
    {
      name: 'remove',
      args: '<record>',
      about: 'remove a record; asks first',
      flags: [yes],
      load: async () => import('../commands/record-remove.ts'),
    },
    {
      name: 'history',
      args: '<record>',
      about: 'its revisions: who, when, what changed',
      shows: true,
      load: async () => import('../commands/record-history.ts'),
    },
    {
      name: 'accept-older',
      args: '<record>',
      about: 'after a restore of the router: go on with an older revision, in place of one this device saw',
      more: 'Also for configurations, gateways and applications, by name or UID. Asks first. Facts are written anew above what was seen, which takes the right to edit them; of secrets only this profile gives up what it saw.',
      flags: [yes],
      shows: true,
      load: async () => import('../commands/record-accept-older.ts'),
    },
    {
      name: 'import',
      args: '<file>',
      about: 'make records from JSON lines, each as record template prints; - is standard input',
      more: 'Every line gets one row of result. A line whose record this device made before is not made again: run it again after an interruption, or with refused lines corrected. With --dry-run nothing is written: lines are checked to the end, names resolved, addresses compared.',
      flags: [application, { flag: '--dry-run', about: 'check only' }],
      shows: true,
      load: async () => import('../commands/record-import.ts'),
    },
    {
      name: 'template',
      args: '<type>',
      about: 'print the JSON of a type, for --from and import',
      load: async () => import('../commands/record-template.ts'),
    },
  ],
};
