import type { GroupSpec } from './command-spec.ts';

export const sessionGroup: GroupSpec = {
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
      load: async () => import('../commands/session-list.ts'),
    },
    {
      name: 'kill',
      args: '<id>',
      about: 'end a session, or one stream of it, wherever it runs',
      more: 'One’s own; those of others with the right gateways. Its user is told by whom and why.',
      flags: [{ flag: '--reason <text>', about: 'why, for its user and the audit log; at most 120 characters' }],
      shows: true,
      load: async () => import('../commands/session-kill.ts'),
    },
    {
      name: 'why',
      args: '<id>',
      about: 'why a stream went to its instance: a stream, a session, or last',
      shows: true,
      load: async () => import('../commands/session-why.ts'),
    },
  ],
};
