import { PamError } from '@sallyport/protocol';
import { refusal } from '../refuse.ts';

type Opaque = typeof import('@serenity-kit/opaque');

/** Version of the key-stretching parameters fixed in the client: 1 = Argon2id, 64 MiB, t = 3, p = 4. */
export const ksfVersion = 1;
const keyStretching = 'memory-constrained';

let loaded: Promise<Opaque> | undefined;

/** WebAssembly, 68 MB of memory once used: loaded when somebody signs in, never before (proven.md 1). */
function loadOpaque(): Promise<Opaque> {
  loaded ??= (async () => {
    const opaque = await import('@serenity-kit/opaque');
    await opaque.ready;
    return opaque;
  })();
  return loaded;
}

export interface Registration {
  readonly registrationRequest: string;
  /** Secret; never leaves the process. */
  readonly clientState: string;
}

/** OPAQUE registration (RFC 9807 section 5), first half. */
export async function startRegistration(password: string): Promise<Registration> {
  const { client } = await loadOpaque();
  const started = client.startRegistration({ password });
  return { registrationRequest: started.registrationRequest, clientState: started.clientRegistrationState };
}

/** Second half; blocks its thread for about 0.3 s. @throws PAM_BAD_REQUEST when the router's answer is garbage. */
export async function finishRegistration(input: {
  readonly password: string;
  readonly clientState: string;
  readonly registrationResponse: string;
}): Promise<{ readonly registrationRecord: string; readonly exportKey: string }> {
  const { client } = await loadOpaque();
  try {
    const done = client.finishRegistration({
      password: input.password,
      clientRegistrationState: input.clientState,
      registrationResponse: input.registrationResponse,
      keyStretching,
    });
    return { registrationRecord: done.registrationRecord, exportKey: done.exportKey };
  } catch (reason) {
    throw new PamError('PAM_BAD_REQUEST', 'The router answered the registration with something else.', {
      cause: reason,
    });
  }
}

export interface SignIn {
  readonly startLoginRequest: string;
  /** Secret; never leaves the process. */
  readonly clientState: string;
}

/** OPAQUE sign-in (RFC 9807 section 6), first half. */
export async function startSignIn(password: string): Promise<SignIn> {
  const { client } = await loadOpaque();
  const started = client.startLogin({ password });
  return { startLoginRequest: started.startLoginRequest, clientState: started.clientLoginState };
}

/** Second half. @throws PAM_SIGN_IN_FAILED: wrong password, unknown name or a false answer look alike. */
export async function finishSignIn(input: {
  readonly password: string;
  readonly clientState: string;
  readonly loginResponse: string;
}): Promise<{ readonly finishLoginRequest: string; readonly exportKey: string; readonly sessionKey: string }> {
  const { client } = await loadOpaque();
  let done: ReturnType<typeof client.finishLogin>;
  try {
    done = client.finishLogin({
      password: input.password,
      clientLoginState: input.clientState,
      loginResponse: input.loginResponse,
      keyStretching,
    });
  } catch (reason) {
    throw refusal('PAM_SIGN_IN_FAILED', 'answer', 'The router answered the sign-in with something else.', reason);
  }
  if (done === undefined) throw refusal('PAM_SIGN_IN_FAILED', 'password', 'Name or password is wrong.');
  return { finishLoginRequest: done.finishLoginRequest, exportKey: done.exportKey, sessionKey: done.sessionKey };
}
