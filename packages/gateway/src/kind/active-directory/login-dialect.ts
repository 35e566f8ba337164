import type { LoginDialect } from '../ldap/directory-login.ts';
import { bindName } from './account-names.ts';
import { readLogin } from './directory-error.ts';

export const activeDirectoryLogin: LoginDialect = { bindName, controls: [], readLogin };
