import type { GroupSpec } from './command-spec.ts';
import { onOffDefault } from './shared-flags.ts';

export const tunnelGroup: GroupSpec = {
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
      load: async () => import('../commands/tunnel-start.ts'),
    },
    {
      name: 'list',
      about: 'tunnels of this machine and profile',
      shows: true,
      load: async () => import('../commands/tunnel-list.ts'),
    },
    {
      name: 'stop',
      args: '[id]',
      about: 'end a tunnel by its id, record or port',
      flags: [{ flag: '--all', about: 'end every tunnel of this profile' }],
      load: async () => import('../commands/tunnel-stop.ts'),
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
      load: async () => import('../commands/tunnel-edit.ts'),
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
      load: async () => import('../commands/tunnel-diagnose.ts'),
    },
  ],
};
