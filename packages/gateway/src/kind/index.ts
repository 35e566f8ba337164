import type { TargetKind } from '@sallyport/rotation';
import { activeDirectory } from './active-directory/active-directory.ts';
import { openldap } from './openldap/openldap.ts';

/** The kinds that come with the gateway, one line each; plug-ins are asked before them. */
export const inTreeKinds: readonly TargetKind[] = [openldap, activeDirectory];
