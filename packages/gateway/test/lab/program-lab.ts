import { encodeJoinConfig } from '@sallyport/seal';
import { type Child, compileCache, type Later, programPath, runChild, startChild, tempDir } from '@sallyport/testkit';
import { createInstallation } from './installation.ts';
import { type ScriptedRouter, startScriptedRouter } from './scripted-router.ts';

const program = programPath('pam-gateway');
type Environment = Readonly<Record<string, string | undefined>>;

/** A scripted router, its join configuration, a home folder, and the real program as a child. */
export interface ProgramLab {
  readonly program: string;
  readonly router: ScriptedRouter;
  readonly gateway: string;
  readonly home: string;
  readonly joinText: string;
  environment(more?: Environment): Environment;
  /** `pam-gateway start`, with GATEWAY_CONFIG unless `more` replaces it; ended with the test. */
  start(args?: readonly string[], more?: Environment): Child;
  run(args: readonly string[], more?: Environment, input?: string): ReturnType<typeof runChild>;
}

export const ready = /"msg":"ready"/;

export async function startProgramLab(later: Later): Promise<ProgramLab> {
  const router = await startScriptedRouter((identity) => createInstallation(identity.pin));
  later(() => router.close());
  const home = tempDir(later);
  const joinText = encodeJoinConfig(await router.installation.config([router.address], [router.identity.pin]));
  const environment = (more: Environment = {}): Environment => ({
    SALLYPORT_HOME: home,
    GATEWAY_CONFIG: undefined,
    ...compileCache(),
    ...more,
  });
  return {
    program,
    router,
    gateway: router.installation.gateway,
    home,
    joinText,
    environment,
    start: (args = [], more = { GATEWAY_CONFIG: joinText }) =>
      startChild(later, process.execPath, [program, 'start', '--log-format', 'json', ...args], {
        env: environment(more),
      }),
    run: (args, more = {}, input = '') =>
      runChild(process.execPath, [program, ...args], { env: environment(more), input }),
  };
}
