import { createHmac, randomBytes } from 'node:crypto';
import { PamError } from '@sallyport/protocol';
import * as opaque from '@serenity-kit/opaque';
import type { IdentityStore } from './identity-store.ts';

/**
 * Server side of OPAQUE (RFC 9807): the router learns neither password nor anything that opens keys.
 *
 * O1 unknown names are answered like known ones: same length, same time, and an OPRF element that stays the same
 *    before and after the name is registered (the credential id is a keyed hash of the name).
 * O2 rubbish from the peer is one uniform error.
 */
export interface OpaqueServer {
  /** Credential id of a name, registered or not. */
  credentialIdOf(name: string): string;
  /** Answers a registration request (≤ 1 KiB). PAM_BAD_REQUEST when it is none. */
  register(credentialId: string, registrationRequest: string): string;
  /** `record` null: nobody of this name. PAM_SIGN_IN_FAILED for rubbish. */
  begin(input: { readonly credentialId: string; readonly record: string | null; readonly startLoginRequest: string }): {
    readonly serverState: string;
    readonly loginResponse: string;
  };
  /** Did the client prove the password? Never throws. */
  finish(serverState: string, finishLoginRequest: string): boolean;
}

/** Loads the set-up and the name key, or makes them at the first start. Losing them locks every account out. */
export async function createOpaqueServer(store: IdentityStore): Promise<OpaqueServer> {
  await opaque.ready;
  const serverSetup = await store.initSetting({ key: 'opaque-setup', value: opaque.server.createSetup() });
  const nameKey = await store.initSetting({ key: 'name-key', value: randomBytes(32).toString('base64url') });

  return {
    credentialIdOf: (name) => createHmac('sha256', nameKey).update(name.toLowerCase()).digest('base64url'),
    register: (userIdentifier, registrationRequest) => {
      try {
        return opaque.server.createRegistrationResponse({ serverSetup, userIdentifier, registrationRequest })
          .registrationResponse;
      } catch (reason) {
        throw new PamError('PAM_BAD_REQUEST', 'registrationRequest is not an OPAQUE message', { cause: reason });
      }
    },
    begin: ({ credentialId, record, startLoginRequest }) => {
      try {
        const { serverLoginState, loginResponse } = opaque.server.startLogin({
          serverSetup,
          userIdentifier: credentialId,
          registrationRecord: record,
          startLoginRequest,
        });
        return { serverState: serverLoginState, loginResponse };
      } catch (reason) {
        throw new PamError('PAM_SIGN_IN_FAILED', 'name or password is wrong', { cause: reason });
      }
    },
    finish: (serverLoginState, finishLoginRequest) => {
      try {
        opaque.server.finishLogin({ serverLoginState, finishLoginRequest });
        return true;
      } catch {
        return false; // wrong password, unknown name or rubbish: told apart by nobody (O1, O2)
      }
    },
  };
}
