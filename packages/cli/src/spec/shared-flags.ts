import type { FlagSpec } from './command-spec.ts';

/** Flags that commands of several groups have. */
export const yes: FlagSpec = { flag: '-y, --yes', about: 'do not ask' };
export const passwordStdin: FlagSpec = {
  flag: '--password-stdin',
  about: 'read the password from the first line of standard input; it is never an argument',
};
export const gateway: FlagSpec = { flag: '-g, --gateway <name|uid>', about: 'the gateway', required: true };
export const application: FlagSpec = { flag: '-a, --application <name|uid>', about: 'the application' };
export const onOff = ['on', 'off'];
export const onOffDefault = ['on', 'off', 'default'];
