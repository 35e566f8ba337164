import { closeSync, readFileSync } from 'node:fs';

/**
 * Takes the join configuration and the token out of the environment as the first thing the program does, so that no
 * child process and no later code finds them there. `main.ts` imports this module before any other.
 *
 * A launcher that has to start this program as its child gives them over a pipe instead: SALLYPORT_HANDOVER_FD names
 * its descriptor, the pipe carries one JSON object with the same two names.
 */
export interface TakenSecrets {
  readonly joinConfig: string | undefined;
  readonly token: string | undefined;
}

const names = ['GATEWAY_CONFIG', 'SALLYPORT_TOKEN'] as const;

function takeHandedOver(environment: NodeJS.ProcessEnv): Record<string, unknown> {
  const descriptor = Number(environment['SALLYPORT_HANDOVER_FD']);
  delete environment['SALLYPORT_HANDOVER_FD'];
  if (!Number.isInteger(descriptor) || descriptor < 3 || descriptor > 255) return {};
  try {
    const value: unknown = JSON.parse(readFileSync(descriptor, 'utf8'));
    closeSync(descriptor);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch (reason) {
    process.stderr.write(`pam-gateway: nothing could be read from the launcher (${String(reason)})\n`);
    return {};
  }
}

/** Removes both from `environment` and answers what they were; empty values count as absent. */
function takeSecrets(environment: NodeJS.ProcessEnv): TakenSecrets {
  const handed = takeHandedOver(environment);
  const [joinConfig, token] = names.map((name) => {
    const value = handed[name] ?? environment[name];
    delete environment[name];
    return typeof value === 'string' && value.trim() !== '' ? value : undefined;
  });
  return { joinConfig, token };
}

export const takenSecrets: TakenSecrets = takeSecrets(process.env);
