import type { GroupSpec } from './command-spec.ts';
import { tunnelGroup } from './tunnel-spec.ts';
import { gatewayGroup } from './gateway-spec.ts';
import { appGroup, configGroup, recordGroup } from './record-spec.ts';
import { sessionGroup } from './session-spec.ts';
import { auditGroup, trustGroup } from './log-spec.ts';
import { deviceGroup, profileGroup } from './profile-spec.ts';
import { rotationGroups } from './rotation-spec.ts';

export type { CommandSpec, FlagSpec } from './command-spec.ts';
export { topCommands } from './top-commands.ts';

/** Groups and their commands, in the order help shows them. */
export const groups: readonly GroupSpec[] = [
  tunnelGroup,
  gatewayGroup,
  appGroup,
  configGroup,
  recordGroup,
  sessionGroup,
  ...rotationGroups,
  auditGroup,
  trustGroup,
  deviceGroup,
  profileGroup,
];
