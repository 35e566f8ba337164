import type { Run } from './cli.ts';
import { rotationGroups } from './rotation-spec.ts';

/** A flag: what commander reads, and one sentence. `repeat` collects values; `hidden` is understood but not shown. */
export interface FlagSpec {
  readonly flag: string;
  readonly about: string;
  readonly choices?: readonly string[];
  readonly repeat?: boolean;
  readonly required?: boolean;
  readonly hidden?: boolean;
}

/** A command of `pam`: everything its help says, and where its code is loaded from when it is called. */
export interface CommandSpec {
  readonly name: string;
  /** As commander reads them: `<record>`, `[id]`. */
  readonly args?: string;
  readonly about: string;
  /** Sentences after the flags: what is printed, what is asked, examples. */
  readonly more?: string;
  readonly alias?: string;
  readonly flags?: readonly FlagSpec[];
  /** It shows something: gets `--format`. */
  readonly shows?: boolean;
  load(): Promise<{ readonly run: Run }>;
}

export interface GroupSpec {
  readonly name: string;
  readonly about: string;
  readonly commands: readonly CommandSpec[];
}

const yes: FlagSpec = { flag: '-y, --yes', about: 'do not ask' };
const passwordStdin: FlagSpec = {
  flag: '--password-stdin',
  about: 'read the password from the first line of standard input; it is never an argument',
};
const saveKit: FlagSpec = {
  flag: '--save-kit <file>',
  about: 'write account secret and recovery code to a new file (0600) instead of asking them back',
};
const kit: FlagSpec = { flag: '--kit <file>', about: 'take the secrets from a kit that --save-kit wrote' };
const deviceLabel: FlagSpec = {
  flag: '--device-label <text>',
  about: 'what device list shows for this machine (default user@host)',
};
const verbose: FlagSpec = { flag: '-v, --verbose', about: 'more columns in the table; JSON always has all of them' };
const gateway: FlagSpec = { flag: '-g, --gateway <name|uid>', about: 'the gateway', required: true };
const instance: FlagSpec = {
  flag: '-i, --instance <id|host>',
  about: 'the instance: its id, the beginning of it, or its host',
  required: true,
};
const deadline: FlagSpec = {
  flag: '--deadline <seconds>',
  about: 'what still runs then is ended (default 300, at most 604800)',
};
const application: FlagSpec = { flag: '-a, --application <name|uid>', about: 'the application' };
const onOff = ['on', 'off'];
const onOffDefault = ['on', 'off', 'default'];

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

/** Commands without a group. */
export const topCommands: readonly CommandSpec[] = [
  {
    name: 'setup',
    args: '<router> <code>',
    about: 'claim a new router with the code it printed',
    more: 'ROUTER is HOST:PORT. The code carries the router’s key, which is compared before anything is sent. Asks for a password twice, shows account secret, recovery code and recovery key, and asks four characters of each back.',
    flags: [{ flag: '-n, --name <name>', about: 'your sign-in name' }, passwordStdin, saveKit, deviceLabel],
    shows: true,
    load: async () => import('./commands/setup.ts'),
  },
  {
    name: 'quickstart',
    about: 'make application, gateway, configuration and record for one target at once',
    more: 'Prints the line to run on the gateway’s host and the tunnel command. An application of the name is used again; a gateway, configuration or record of the name is a conflict, and nothing is made.',
    flags: [
      { flag: '--target <host:port>', about: 'what to reach, as the gateway’s host sees it', required: true },
      { flag: '-n, --name <title>', about: 'title of the record (default: the target’s host)' },
      { flag: '-a, --application <name>', about: 'application (default quickstart)' },
      { flag: '-g, --gateway <name>', about: 'gateway (default NAME-gateway)' },
      { flag: '-m, --max-instances <n>', about: 'maximum of instances (default 3)' },
      {
        flag: '--router <host:port>',
        about: 'how gateways reach the router (default: as this profile does)',
        repeat: true,
      },
      {
        flag: '-o, --output <file>',
        about: 'write the gateway’s configuration to a new file (0600) instead of printing it',
      },
    ],
    shows: true,
    load: async () => import('./commands/quickstart.ts'),
  },
  {
    name: 'login',
    args: '[router] [name]',
    about: 'sign in; on a new device with the account secret of the paper kit',
    more: 'Without arguments: the router and person of the profile. On a new device the account secret is asked for, taken from --kit, or read from the second line of standard input.',
    flags: [
      kit,
      passwordStdin,
      { flag: '--for <hours>', about: 'how long the sign-in lasts, at most 12 (default 12)' },
      deviceLabel,
    ],
    shows: true,
    load: async () => import('./commands/login.ts'),
  },
  {
    name: 'logout',
    about: 'end the sign-in and shred the keys of this device',
    load: async () => import('./commands/logout.ts'),
  },
  {
    name: 'whoami',
    about: 'show person, device, router and how long the sign-in lasts',
    shows: true,
    load: async () => import('./commands/whoami.ts'),
  },
  {
    name: 'recover',
    args: '<router> <name>',
    about: 'set a new password with the recovery code of the paper kit',
    more: 'Makes this machine a device of the account, with a new account secret and a new recovery code. The old ones open nothing afterwards.',
    flags: [kit, passwordStdin, saveKit, deviceLabel],
    load: async () => import('./commands/recover.ts'),
  },
  {
    name: 'ssh-config',
    args: '[records...]',
    about: 'print Host blocks, so that ssh, scp and ansible go through the pool',
    more: 'Without records: every machine that tunnels may reach. A record is reached as TITLE.pam, where its title can be a host name and is the only one of its kind, and as UID.pam. Its host key is kept under its UID.',
    flags: [{ flag: '--write <file>', about: 'write them to a file for Include; only a file of ours is replaced' }],
    shows: true,
    load: async () => import('./commands/ssh-config.ts'),
  },
];

/** Groups and their commands, in the order help shows them. */
export const groups: readonly GroupSpec[] = [
  {
    name: 'tunnel',
    about: 'reach a target through a gateway pool',
    commands: [
      {
        name: 'start',
        args: '<record>',
        about: 'listen on a local port; every connection takes its own turn in the pool',
        more: 'Runs until Ctrl-C. --background returns when the listener accepts; --run gives the command PAM_TUNNEL_HOST and PAM_TUNNEL_PORT and exits with its code; --stdio carries one connection on standard input and output (ssh ProxyCommand).',
        flags: [
          { flag: '--host <address>', about: 'address to listen on (default 127.0.0.1)' },
          {
            flag: '-p, --port <port>',
            about:
              'port to listen on; 0: the first free one from 49152 (default: what tunnel edit --local-port says, else 0)',
          },
          { flag: '--target-host <host>', about: 'another host than the record’s; only where the record allows it' },
          { flag: '--target-port <port>', about: 'another port than the record’s; only where the record allows it' },
          { flag: '--foreground', about: 'stay in the foreground (default)' },
          { flag: '--background', about: 'go on in the background; tunnel list shows it, tunnel stop ends it' },
          { flag: '--run <command>', about: 'run a command while the tunnel is up' },
          { flag: '--stdio', about: 'one connection on standard input and output' },
          { flag: '--pid-file <file>', about: 'write the process id to a file; removed at the end' },
          { flag: '--timeout <seconds>', about: 'give up when the tunnel is not up by then (default 30)' },
          {
            flag: '--on-drain <command>',
            about: 'run a command, once, when an instance that carries connections of this tunnel drains',
          },
          {
            flag: '--detach-timeout <seconds>',
            about: 'keep connections this long while the router or the way to it is lost (default 60, at most 75)',
          },
          { flag: '--background-child', about: 'the process that --background leaves behind', hidden: true },
          { flag: '--exit-with-stdin', about: 'end when standard input closes', hidden: true },
        ],
        shows: true,
        load: async () => import('./commands/tunnel-start.ts'),
      },
      {
        name: 'list',
        about: 'tunnels of this machine and profile',
        shows: true,
        load: async () => import('./commands/tunnel-list.ts'),
      },
      {
        name: 'stop',
        args: '[id]',
        about: 'end a tunnel by its id, record or port',
        flags: [{ flag: '--all', about: 'end every tunnel of this profile' }],
        load: async () => import('./commands/tunnel-stop.ts'),
      },
      {
        name: 'edit',
        args: '<record>',
        about: 'switch tunnels of a record on or off, and choose its local port; without a flag: show both',
        more: 'The switch is sealed in the record for everybody: instances obey it, and the PAM configuration is its ceiling. The local port is kept in this profile, for this machine.',
        flags: [
          { flag: '--tunneling <switch>', about: 'allow tunnels', choices: onOffDefault },
          { flag: '--local-port <port>', about: 'port tunnel start listens on here; none: any free one' },
        ],
        shows: true,
        load: async () => import('./commands/tunnel-edit.ts'),
      },
      {
        name: 'diagnose',
        args: '<record>',
        about: 'look at everything a tunnel stands on, step by step, by way of every instance',
        more: 'Each step says ok, warning, failed or skipped, how long it took, and what to do. Every instance that may take a stream makes one connection to the target and breaks it at once; nothing is sent. The exit code is that of the first failure.',
        flags: [
          { flag: '--target-host <host>', about: 'another host than the record’s; only where the record allows it' },
          { flag: '--target-port <port>', about: 'another port than the record’s; only where the record allows it' },
          { flag: '--timeout <seconds>', about: 'for all of it, 1 to 3600 (default 60)' },
        ],
        shows: true,
        load: async () => import('./commands/tunnel-diagnose.ts'),
      },
    ],
  },
  {
    name: 'gateway',
    about: 'gateways and their pools',
    commands: [
      {
        name: 'new',
        about: 'make a gateway: prints a one-time token, or with -c its configuration',
        more: 'The same configuration starts every instance of the pool: holding it is being the pool. It is printed once.',
        flags: [
          { flag: '-n, --name <title>', about: 'its name', required: true },
          { ...application, required: true },
          { flag: '-m, --max-instances <n>', about: 'how many instances may be admitted at once (default 1)' },
          {
            flag: '-c, --config-init <format>',
            about: 'print the configuration instead of a token',
            choices: ['json', 'b64', 'k8s'],
          },
          { flag: '-e, --token-expires-in-min <minutes>', about: 'life of the token, 1 to 1440 (default 60)' },
          { flag: '-o, --output <file>', about: 'write it to a new file (0600) instead of standard output' },
          {
            flag: '--router <host:port>',
            about: 'how the gateway reaches the router (default: as this profile does)',
            repeat: true,
          },
          { flag: '--with-config <title>', about: 'also make a PAM configuration with tunneling on' },
        ],
        shows: true,
        load: async () => import('./commands/gateway-new.ts'),
      },
      {
        name: 'list',
        about: 'every gateway, one line for a pool',
        more: 'Status: ONLINE, ONLINE (n/m), DEGRADED (n/m, k suspect), n/m over limit, OFFLINE, NEVER CONNECTED. With -f and the router down: the list last seen, status UNKNOWN, its age, exit code 69. With --watch --format json: one JSON document a line for each look, with its changes.',
        flags: [
          { flag: '-v, --verbose', about: 'host, OS and times, and a row for each instance' },
          { flag: '--online', about: 'only those with a connected instance, and a count' },
          { flag: '-f, --force', about: 'when the router is down show the list last seen' },
          { flag: '--watch', about: 'go on looking until Ctrl-C; says what changed, and when the router is away' },
          { flag: '--interval <seconds>', about: 'time between two looks (default 2)' },
        ],
        shows: true,
        load: async () => import('./commands/gateway-list.ts'),
      },
      {
        name: 'info',
        about: 'one gateway, or one instance of it',
        flags: [gateway, { flag: '-i, --instance <id>', about: 'only this instance' }],
        shows: true,
        load: async () => import('./commands/gateway-info.ts'),
      },
      {
        name: 'edit',
        about: 'rename a gateway',
        flags: [gateway, { flag: '-n, --name <title>', about: 'its new name', required: true }],
        load: async () => import('./commands/gateway-edit.ts'),
      },
      {
        name: 'set-max-instances',
        alias: 'smi',
        about: 'set how many instances may be admitted at once',
        more: 'Lowering it stops nothing: surplus instances stay until they leave, unless --drain-surplus drains them, fewest streams first, then the youngest.',
        flags: [
          gateway,
          { flag: '-m, --max-instances <n>', about: 'the maximum, 1 to 1000', required: true },
          { flag: '--drain-surplus', about: 'drain those over it, in the same step' },
          deadline,
        ],
        shows: true,
        load: async () => import('./commands/gateway-set-max-instances.ts'),
      },
      {
        name: 'cordon',
        about: 'give an instance nothing new; what runs on it goes on',
        more: 'Survives every restart, of the router and of the link. pam gateway uncordon takes it back.',
        flags: [gateway, instance],
        shows: true,
        load: async () => import('./commands/gateway-cordon.ts'),
      },
      {
        name: 'uncordon',
        about: 'give a cordoned instance its turns again',
        flags: [gateway, instance],
        shows: true,
        load: async () => import('./commands/gateway-uncordon.ts'),
      },
      {
        name: 'drain',
        about: 'let an instance finish what runs on it, then end it',
        more: 'It takes nothing new, its users are told, and its process ends with 0 when nothing runs any more, at the deadline at the latest: keep its supervisor from starting it again (Restart=on-failure). Cannot be taken back; said again, only an earlier deadline counts.',
        flags: [
          gateway,
          instance,
          deadline,
          { flag: '--replace', about: 'admit one more than the maximum until it is gone' },
        ],
        shows: true,
        load: async () => import('./commands/gateway-drain.ts'),
      },
      {
        name: 'rekey',
        about: 'replace the keys of a gateway whose configuration was stolen; asks first',
        more: 'The old configuration is refused at once: its instances are cut off, their streams reset, its one-time tokens void. Prints the new configuration once, and lists the credentials that were readable and are to be changed. The application’s own keys are not replaced.',
        flags: [
          gateway,
          {
            flag: '-c, --config-init <format>',
            about: 'form of the new configuration (default b64)',
            choices: ['json', 'b64', 'k8s'],
          },
          { flag: '-o, --output <file>', about: 'write it to a new file (0600) instead of standard output' },
          {
            flag: '--router <host:port>',
            about: 'how the gateway reaches the router (default: as this profile does)',
            repeat: true,
          },
          yes,
        ],
        shows: true,
        load: async () => import('./commands/gateway-rekey.ts'),
      },
      {
        name: 'remove',
        about: 'remove a gateway; asks first',
        more: 'Refused, with a list, while PAM configurations name it.',
        flags: [gateway, yes],
        load: async () => import('./commands/gateway-remove.ts'),
      },
    ],
  },
  {
    name: 'app',
    about: 'applications: sets of records and the keys that open them',
    commands: [
      {
        name: 'new',
        args: '<name>',
        about: 'make an application',
        shows: true,
        load: async () => import('./commands/app-new.ts'),
      },
      { name: 'list', about: 'every application', shows: true, load: async () => import('./commands/app-list.ts') },
      {
        name: 'remove',
        args: '<name>',
        about: 'remove an application; asks first',
        flags: [yes],
        load: async () => import('./commands/app-remove.ts'),
      },
    ],
  },
  {
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
        load: async () => import('./commands/config-new.ts'),
      },
      {
        name: 'list',
        about: 'every PAM configuration, or one in full',
        flags: [{ flag: '-c, --config <name|uid>', about: 'only this one' }, verbose],
        shows: true,
        load: async () => import('./commands/config-list.ts'),
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
        load: async () => import('./commands/config-edit.ts'),
      },
      {
        name: 'remove',
        args: '<config>',
        about: 'remove a PAM configuration; asks first',
        flags: [yes],
        load: async () => import('./commands/config-remove.ts'),
      },
    ],
  },
  {
    name: 'record',
    about: 'records: machines, databases, directories, web pages and their users',
    commands: [
      {
        name: 'new',
        args: '<type>',
        about: 'make a record: pamMachine, pamDatabase, pamDirectory, pamRemoteBrowser or pamUser',
        flags: [{ flag: '-n, --name <title>', about: 'its title' }, application, ...recordFields, title],
        shows: true,
        load: async () => import('./commands/record-new.ts'),
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
        load: async () => import('./commands/record-get.ts'),
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
        load: async () => import('./commands/record-list.ts'),
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
        load: async () => import('./commands/record-edit.ts'),
      },
      {
        name: 'remove',
        args: '<record>',
        about: 'remove a record; asks first',
        flags: [yes],
        load: async () => import('./commands/record-remove.ts'),
      },
      {
        name: 'history',
        args: '<record>',
        about: 'its revisions: who, when, what changed',
        shows: true,
        load: async () => import('./commands/record-history.ts'),
      },
      {
        name: 'import',
        args: '<file>',
        about: 'make records from JSON lines, each as record template prints; - is standard input',
        more: 'Every line gets one row of result. With --dry-run nothing is written: lines are checked to the end, names resolved, addresses compared.',
        flags: [application, { flag: '--dry-run', about: 'check only' }],
        shows: true,
        load: async () => import('./commands/record-import.ts'),
      },
      {
        name: 'template',
        args: '<type>',
        about: 'print the JSON of a type, for --from and import',
        load: async () => import('./commands/record-template.ts'),
      },
    ],
  },
  {
    name: 'session',
    about: 'who reached what through which instance',
    commands: [
      {
        name: 'list',
        about: 'sessions that run',
        flags: [
          { flag: '--streams', about: 'with their streams' },
          { flag: '--ended', about: 'those that ended too' },
          { flag: '--limit <n>', about: 'at most this many, 1 to 500 (default 100)' },
        ],
        shows: true,
        load: async () => import('./commands/session-list.ts'),
      },
      {
        name: 'kill',
        args: '<id>',
        about: 'end a session, or one stream of it, wherever it runs',
        more: 'One’s own; those of others with the right gateways. Its user is told by whom and why.',
        flags: [{ flag: '--reason <text>', about: 'why, for its user and the audit log; at most 120 characters' }],
        shows: true,
        load: async () => import('./commands/session-kill.ts'),
      },
      {
        name: 'why',
        args: '<id>',
        about: 'why a stream went to its instance: a stream, a session, or last',
        shows: true,
        load: async () => import('./commands/session-why.ts'),
      },
    ],
  },
  ...rotationGroups,
  {
    name: 'audit',
    about: 'the audit log',
    commands: [
      {
        name: 'list',
        about: 'events, newest first',
        flags: [{ flag: '--limit <n>', about: 'at most this many, 1 to 500 (default 50)' }],
        shows: true,
        load: async () => import('./commands/audit-list.ts'),
      },
      {
        name: 'verify',
        about: 'verify every event, signature and head against what this profile remembers',
        shows: true,
        load: async () => import('./commands/audit-verify.ts'),
      },
    ],
  },
  {
    name: 'trust',
    about: 'the trust log: who and what is trusted',
    commands: [
      { name: 'log', about: 'its entries', shows: true, load: async () => import('./commands/trust-log.ts') },
      {
        name: 'head',
        about: 'number and hash of the newest entry',
        shows: true,
        load: async () => import('./commands/trust-head.ts'),
      },
      {
        name: 'verify',
        about: 'fetch all of it anew, verify it and compare',
        shows: true,
        load: async () => import('./commands/trust-verify.ts'),
      },
    ],
  },
  {
    name: 'device',
    about: 'devices of the installation',
    commands: [
      {
        name: 'list',
        about: 'every device in the trust log',
        shows: true,
        load: async () => import('./commands/device-list.ts'),
      },
    ],
  },
  {
    name: 'profile',
    about: 'profiles of this machine',
    commands: [
      { name: 'list', about: 'every profile', shows: true, load: async () => import('./commands/profile-list.ts') },
      {
        name: 'use',
        args: '<name>',
        about: 'make a profile the current one',
        load: async () => import('./commands/profile-use.ts'),
      },
    ],
  },
];
