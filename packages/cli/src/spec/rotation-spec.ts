import type { CommandSpec, FlagSpec, GroupSpec } from './command-spec.ts';
import { gateway, onOff } from './shared-flags.ts';

const record: FlagSpec = { flag: '-r, --record <name|uid>', about: 'the pamUser record', required: true };
const wait: FlagSpec = {
  flag: '--wait',
  about: 'stay until it ended, telling step and instance; the exit code says how',
};
const timeout: FlagSpec = {
  flag: '--timeout <seconds>',
  about: 'with --wait: leave after this (default 900); it goes on',
};

const scheduleFlags: readonly FlagSpec[] = [
  { flag: '--on-demand', about: 'no schedule' },
  { flag: '--cron <expression>', about: '5 or 6 fields, names of days and months allowed: "0 3 * * SUN"' },
  { flag: '--daily <HH:MM>', about: 'every day at this time' },
  { flag: '--weekly <DAY,HH:MM>', about: 'MON to SUN and a time' },
  { flag: '--monthly <DAY,HH:MM>', about: 'a day of the month 1 to 31, or LAST:FRI, FIRST:MON, and a time' },
  { flag: '--yearly <MM-DD,HH:MM>', about: 'a day of the year and a time' },
  { flag: '--once <time>', about: 'one run at an ISO 8601 time' },
  { flag: '--every <n>', about: 'with daily to yearly: every n-th, 1 to 52 (default 1)' },
  { flag: '--tz <zone>', about: 'IANA time zone (default Etc/UTC)' },
  { flag: '--schedule-config', about: 'take the schedule that the PAM configuration offers' },
];

const scriptTarget: readonly FlagSpec[] = [
  {
    flag: '-r, --record <name|uid>',
    about: 'the pamUser, resource or PAM configuration that has the script',
    required: true,
  },
];

const asFlag: FlagSpec = {
  flag: '--as <name|uid>',
  about: 'pamUser to log in with on the machine (default: its administrative credential)',
};
const serviceName: FlagSpec = { flag: '-n, --name <name>', about: 'its name', required: true };

const services: readonly CommandSpec[] = [
  {
    name: 'service-list',
    about: 'services that are updated after a rotation, in this order, before the scripts',
    flags: [record],
    shows: true,
    load: async () => import('../commands/rotation-service-list.ts'),
  },
  {
    name: 'service-add',
    about: 'write a file and restart a unit on a Linux machine after each rotation; needs the right gateways',
    more: 'It is done as root. The file must be there already; it and every folder above it must belong to root and be changed by nobody else. Owner and mode stay. In the template {{user}} and {{password}} are replaced, written as --escape says: shell and json bring their quotes along. A restart that fails is shown in job-info; it undoes nothing.',
    flags: [
      record,
      serviceName,
      { flag: '--machine <name|uid>', about: 'the pamMachine it runs on (default: the resource of the account)' },
      asFlag,
      { flag: '--unit <unit>', about: 'what is restarted' },
      {
        flag: '--manager <name>',
        about: 'systemd (default): systemctl restart UNIT; sysv: service UNIT restart',
        choices: ['systemd', 'sysv'],
      },
      { flag: '--file <path>', about: 'the file on the machine, absolute' },
      { flag: '--template <file>', about: 'text of the file, read here' },
      {
        flag: '--escape <how>',
        about: 'how values are written: raw, ini, shell (also EnvironmentFile), json (also YAML, TOML), xml, url',
        choices: ['raw', 'ini', 'shell', 'json', 'xml', 'url'],
      },
    ],
    shows: true,
    load: async () => import('../commands/rotation-service-add.ts'),
  },
  {
    name: 'service-remove',
    about: 'take a service away',
    flags: [record, serviceName],
    shows: true,
    load: async () => import('../commands/rotation-service-remove.ts'),
  },
];

const scripts: readonly CommandSpec[] = [
  {
    name: 'script-list',
    about: 'scripts that run after a rotation, in the order they run',
    flags: scriptTarget,
    shows: true,
    load: async () => import('../commands/rotation-script-list.ts'),
  },
  {
    name: 'script-add',
    about: 'attach a script; needs the right gateways, because it runs there',
    more: 'It gets one line on standard input: base64 of JSON with user, oldPassword, newPassword and records. A script that fails is shown in job-info; it undoes nothing. The machine of --on target is part of the signature: it stays when the account moves. Without --machine it is the machine that the account or the script belongs to; scripts of other resources and configurations then run on the resource of each account, and are given no records.',
    flags: [
      ...scriptTarget,
      { flag: '-n, --name <name>', about: 'its name', required: true },
      {
        flag: '--file <file>',
        about: 'the script; its first line names the interpreter unless --command does',
        required: true,
      },
      { flag: '--on <place>', about: 'gateway (default) or target, over SSH', choices: ['gateway', 'target'] },
      { flag: '--machine <name|uid>', about: 'with --on target: the pamMachine it runs on' },
      asFlag,
      { flag: '--command <word>', about: 'program and arguments that get the script as a file', repeat: true },
      { flag: '--with-record <name|uid>', about: 'a record whose fields it is given', repeat: true },
      { flag: '--timeout <seconds>', about: 'it is ended after this, 1 to 600 (default 60)' },
    ],
    shows: true,
    load: async () => import('../commands/rotation-script-add.ts'),
  },
  {
    name: 'script-edit',
    about: 'switch a script on or off, or give it another text',
    flags: [
      ...scriptTarget,
      { flag: '-n, --name <name>', about: 'its name', required: true },
      { flag: '--enabled <on|off>', about: 'whether it runs', choices: onOff },
      { flag: '--file <file>', about: 'its text from now on; where it runs and with what stays' },
    ],
    shows: true,
    load: async () => import('../commands/rotation-script-edit.ts'),
  },
  {
    name: 'script-remove',
    about: 'take a script away',
    flags: [...scriptTarget, { flag: '-n, --name <name>', about: 'its name', required: true }],
    shows: true,
    load: async () => import('../commands/rotation-script-remove.ts'),
  },
];

export const rotationGroups: readonly GroupSpec[] = [
  {
    name: 'rotation',
    about: 'how and when passwords and keys are changed, and what became of it',
    commands: [
      {
        name: 'edit',
        about: 'set up or change the rotation of one record, or of all with a tag',
        more: 'The record is signed anew for its resource. Permission is needed twice: --rotation on in the PAM configuration, and not off in the resource.',
        flags: [
          { flag: '-r, --record <name|uid>', about: 'the pamUser record' },
          { flag: '-f, --filter <tag|regex>', about: 'every pamUser with this tag or a title that matches' },
          { flag: '--resource <name|uid>', about: 'the machine, database or directory the account lives on' },
          {
            flag: '--by <who>',
            about: 'admin credential of the resource, own, or auto (default)',
            choices: ['auto', 'admin', 'own'],
          },
          { flag: '--enabled <on|off>', about: 'whether it may be rotated', choices: onOff },
          { flag: '--scripts-only <on|off>', about: 'nothing but the scripts runs', choices: onOff },
          {
            flag: '--kind <name>',
            about: 'target kind (default: the one that serves the resource); see rotation targets',
          },
          { flag: '--changes <what>', about: 'password (default) or ssh-key', choices: ['password', 'ssh-key'] },
          { flag: '-x, --complexity <text>', about: 'length,upper,lower,digits,symbols[,SPECIALS]: 32,5,5,5,5' },
          { flag: '--replica <host:port>', about: 'also wait until this one agrees; none removes them', repeat: true },
          ...scheduleFlags,
        ],
        shows: true,
        load: async () => import('../commands/rotation-edit.ts'),
      },
      {
        name: 'list',
        about: 'every record with a rotation: schedule, next run, last result',
        flags: [{ flag: '-v, --verbose', about: 'more columns in the table; JSON always has all of them' }],
        shows: true,
        load: async () => import('../commands/rotation-list.ts'),
      },
      {
        name: 'info',
        about: 'one record: settings, next runs, account, what needs attention and the command that resolves it',
        flags: [record, { flag: '--runs <n>', about: 'how many next runs, 0 to 50 (default 5)' }],
        shows: true,
        load: async () => import('../commands/rotation-info.ts'),
      },
      {
        name: 'history',
        about: 'its runs, newest first',
        flags: [record],
        shows: true,
        load: async () => import('../commands/rotation-history.ts'),
      },
      {
        name: 'resolve',
        about: 'say which version opens the account, and end “needs attention”',
        more: 'Without --version it shows what is known and which versions there are. Secrets are shown only with --unmask.',
        flags: [
          record,
          { flag: '--version <n>', about: 'this version of the account is right: it becomes the record’s secret' },
          { flag: '--keep', about: 'what the record holds is right' },
          { flag: '--unmask', about: 'show the secrets of the versions' },
        ],
        shows: true,
        load: async () => import('../commands/rotation-resolve.ts'),
      },
      {
        name: 'targets',
        about: 'what a gateway can rotate: kinds, their fences, what they were tried against',
        flags: [gateway],
        shows: true,
        load: async () => import('../commands/rotation-targets.ts'),
      },
      ...scripts,
      ...services,
    ],
  },
  {
    name: 'action',
    about: 'jobs: rotate, check, and see what runs',
    commands: [
      {
        name: 'rotate',
        about: 'rotate one record now, or all with a tag',
        flags: [
          { flag: '-r, --record <name|uid>', about: 'the pamUser record' },
          { flag: '-f, --filter <tag|regex>', about: 'every pamUser with this tag or a title that matches' },
          { flag: '-n, --dry-run', about: 'change nothing: check reachability, credential, permission and policy' },
          wait,
          timeout,
        ],
        shows: true,
        load: async () => import('../commands/action-rotate.ts'),
      },
      {
        name: 'check',
        about: 'log in with what the vault holds; a refusal marks drift',
        flags: [
          { flag: '-r, --record <name|uid>', about: 'the pamUser record' },
          { flag: '-f, --filter <tag|regex>', about: 'every pamUser with this tag or a title that matches' },
          wait,
          timeout,
        ],
        shows: true,
        load: async () => import('../commands/action-check.ts'),
      },
      {
        name: 'after',
        about: 'run scripts and services again that did not end well after a rotation; the secret stays',
        more: 'What ended well for the secret that the record holds now is left out, unless --all; what was edited since counts as new. It is ordered and signed as a rotation is.',
        flags: [
          { flag: '-r, --record <name|uid>', about: 'the pamUser record' },
          { flag: '-f, --filter <tag|regex>', about: 'every pamUser with this tag or a title that matches' },
          { flag: '--all', about: 'also what ended well before' },
          wait,
          timeout,
        ],
        shows: true,
        load: async () => import('../commands/action-after.ts'),
      },
      {
        name: 'retire',
        about: 'remove what earlier rotations left beside the vault’s secret (SSH keys, Redis)',
        more: 'It is tried by itself for some days after a rotation that could not; nothing is removed unless the vault’s secret opens the account.',
        flags: [
          { flag: '-r, --record <name|uid>', about: 'the pamUser record' },
          { flag: '-f, --filter <tag|regex>', about: 'every pamUser with this tag or a title that matches' },
          wait,
          timeout,
        ],
        shows: true,
        load: async () => import('../commands/action-retire.ts'),
      },
      {
        name: 'job-info',
        args: '<job>',
        alias: 'ji',
        about: 'one job: state, steps, instances, scripts and what the target said; or last',
        flags: [wait, timeout],
        shows: true,
        load: async () => import('../commands/action-job-info.ts'),
      },
      {
        name: 'job-cancel',
        args: '<job>',
        alias: 'jc',
        about: 'end a job before its first write; later it finishes what it began',
        shows: true,
        load: async () => import('../commands/action-job-cancel.ts'),
      },
      {
        name: 'job-list',
        alias: 'jl',
        about: 'jobs, newest first',
        flags: [
          { flag: '-r, --record <name|uid>', about: 'of this record' },
          {
            flag: '--state <state>',
            about: 'open, ended, attention or all (default)',
            choices: ['open', 'ended', 'attention', 'all'],
          },
          { flag: '--limit <n>', about: 'at most this many, 1 to 1000 (default 50)' },
        ],
        shows: true,
        load: async () => import('../commands/action-job-list.ts'),
      },
    ],
  },
];
