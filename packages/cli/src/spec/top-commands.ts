import type { CommandSpec, FlagSpec } from './command-spec.ts';
import { passwordStdin } from './shared-flags.ts';

const saveKit: FlagSpec = {
  flag: '--save-kit <file>',
  about: 'write account secret and recovery code to a new file (0600) instead of asking them back',
};
const kit: FlagSpec = { flag: '--kit <file>', about: 'take the secrets from a kit that --save-kit wrote' };
const deviceLabel: FlagSpec = {
  flag: '--device-label <text>',
  about: 'what device list shows for this machine (default user@host)',
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
    load: async () => import('../commands/setup.ts'),
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
    load: async () => import('../commands/quickstart.ts'),
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
    load: async () => import('../commands/login.ts'),
  },
  {
    name: 'logout',
    about: 'end the sign-in and shred the keys of this device',
    load: async () => import('../commands/logout.ts'),
  },
  {
    name: 'whoami',
    about: 'show person, device, router and how long the sign-in lasts',
    shows: true,
    load: async () => import('../commands/whoami.ts'),
  },
  {
    name: 'recover',
    args: '<router> <name>',
    about: 'set a new password with the recovery code of the paper kit',
    more: 'Makes this machine a device of the account, with a new account secret and a new recovery code. The old ones open nothing afterwards.',
    flags: [kit, passwordStdin, saveKit, deviceLabel],
    load: async () => import('../commands/recover.ts'),
  },
  {
    name: 'ssh-config',
    args: '[records...]',
    about: 'print Host blocks, so that ssh, scp and ansible go through the pool',
    more: 'Without records: every machine that tunnels may reach. A record is reached as TITLE.pam, where its title can be a host name and is the only one of its kind, and as UID.pam. Its host key is kept under its UID.',
    flags: [{ flag: '--write <file>', about: 'write them to a file for Include; only a file of ours is replaced' }],
    shows: true,
    load: async () => import('../commands/ssh-config.ts'),
  },
];
