import type { GroupSpec } from './command-spec.ts';
import { yes } from './shared-flags.ts';

export const auditGroup: GroupSpec = {
  name: 'audit',
  about: 'the audit log',
  commands: [
    {
      name: 'list',
      about: 'events, newest first',
      flags: [{ flag: '--limit <n>', about: 'at most this many, 1 to 500 (default 50)' }],
      shows: true,
      load: async () => import('../commands/audit-list.ts'),
    },
    {
      name: 'verify',
      about: 'verify every event, signature and head against what this profile remembers',
      shows: true,
      load: async () => import('../commands/audit-verify.ts'),
    },
  ],
};

export const trustGroup: GroupSpec = {
  name: 'trust',
  about: 'the trust log: who and what is trusted',
  commands: [
    { name: 'log', about: 'its entries', shows: true, load: async () => import('../commands/trust-log.ts') },
    {
      name: 'head',
      about: 'number and hash of the newest entry',
      shows: true,
      load: async () => import('../commands/trust-head.ts'),
    },
    {
      name: 'verify',
      about: 'fetch all of it anew, verify it and compare',
      shows: true,
      load: async () => import('../commands/trust-verify.ts'),
    },
    {
      name: 'reopen',
      about: 'after a restore of the router: let it take new entries again',
      more: 'Shows which entries came back, which instances did not, and what is lost. Needs the right router.',
      flags: [yes],
      shows: true,
      load: async () => import('../commands/trust-reopen.ts'),
    },
  ],
};
