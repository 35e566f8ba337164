import type { FlagSpec, GroupSpec } from './command-spec.ts';
import { application, yes, gateway } from './shared-flags.ts';

const instance: FlagSpec = {
  flag: '-i, --instance <id|host>',
  about: 'the instance: its id, the beginning of it, or its host',
  required: true,
};
const deadline: FlagSpec = {
  flag: '--deadline <seconds>',
  about: 'what still runs then is ended (default 300, at most 604800)',
};

export const gatewayGroup: GroupSpec = {
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
      load: async () => import('../commands/gateway-new.ts'),
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
      load: async () => import('../commands/gateway-list.ts'),
    },
    {
      name: 'info',
      about: 'one gateway, or one instance of it',
      flags: [gateway, { flag: '-i, --instance <id>', about: 'only this instance' }],
      shows: true,
      load: async () => import('../commands/gateway-info.ts'),
    },
    {
      name: 'edit',
      about: 'rename a gateway',
      flags: [gateway, { flag: '-n, --name <title>', about: 'its new name', required: true }],
      load: async () => import('../commands/gateway-edit.ts'),
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
      load: async () => import('../commands/gateway-set-max-instances.ts'),
    },
    {
      name: 'cordon',
      about: 'give an instance nothing new; what runs on it goes on',
      more: 'Survives every restart, of the router and of the link. pam gateway uncordon takes it back.',
      flags: [gateway, instance],
      shows: true,
      load: async () => import('../commands/gateway-cordon.ts'),
    },
    {
      name: 'uncordon',
      about: 'give a cordoned instance its turns again',
      flags: [gateway, instance],
      shows: true,
      load: async () => import('../commands/gateway-uncordon.ts'),
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
      load: async () => import('../commands/gateway-drain.ts'),
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
      load: async () => import('../commands/gateway-rekey.ts'),
    },
    {
      name: 'remove',
      about: 'remove a gateway; asks first',
      more: 'Refused, with a list, while PAM configurations name it.',
      flags: [gateway, yes],
      load: async () => import('../commands/gateway-remove.ts'),
    },
  ],
};
