import type { GroupSpec } from './command-spec.ts';

export const deviceGroup: GroupSpec = {
  name: 'device',
  about: 'devices of the installation',
  commands: [
    {
      name: 'list',
      about: 'every device in the trust log',
      shows: true,
      load: async () => import('../commands/device-list.ts'),
    },
  ],
};

export const profileGroup: GroupSpec = {
  name: 'profile',
  about: 'profiles of this machine',
  commands: [
    { name: 'list', about: 'every profile', shows: true, load: async () => import('../commands/profile-list.ts') },
    {
      name: 'use',
      args: '<name>',
      about: 'make a profile the current one',
      load: async () => import('../commands/profile-use.ts'),
    },
  ],
};
