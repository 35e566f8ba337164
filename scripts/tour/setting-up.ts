import { randomBytes } from 'node:crypto';
import type { DataFolder, TourState } from './data-folder.ts';
import type { Pam } from './programs.ts';

export interface SetUpInput {
  readonly folder: DataFolder;
  readonly state: TourState;
  readonly pam: Pam;
  /** HOST:PORT of the router. */
  readonly address: string;
  /** Code of the `pam setup` line; undefined when the router has an owner. */
  readonly code: string | undefined;
  readonly targetPort: number;
  readonly maximum: number;
  say(line: string): void;
}

const exitNotSignedIn = 6;

/** Makes person, application, gateway, configuration and record, each once; what is there is used again. */
export async function setUp(input: SetUpInput): Promise<void> {
  const { folder, state, pam, maximum } = input;
  const once = async (name: string, work: () => Promise<unknown>, said: string): Promise<void> => {
    if (state.done.includes(name)) return;
    await work();
    state.done.push(name);
    folder.writeState(state);
    input.say(said);
  };
  await signIn(input, once);
  await once('application', () => pam.run(['app', 'new', 'demo']), 'application demo');
  const gateway = [
    'gateway',
    'new',
    '-n',
    'demo',
    '-a',
    'demo',
    '-m',
    `${maximum}`,
    '-c',
    'b64',
    '-o',
    folder.joinConfig,
  ];
  await once('gateway', () => pam.run(gateway), `gateway demo, at most ${maximum} instances`);
  const allowed = ['--network', '127.0.0.0/8', '--tunneling', 'on'];
  const configuration = ['config', 'new', '-n', 'demo-net', '-a', 'demo', '-g', 'demo', ...allowed];
  await once('configuration', () => pam.run(configuration), 'PAM configuration demo-net: 127.0.0.0/8 may be dialled');
  const target = ['--host', '127.0.0.1', '--port', `${input.targetPort}`];
  const record = ['record', 'new', 'pamMachine', '-n', 'demo-web', '-a', 'demo', '-c', 'demo-net', ...target];
  const recorded = state.done.includes('record');
  await once('record', () => pam.run(record), `record demo-web: 127.0.0.1:${input.targetPort}`);
  if (recorded) {
    await pam.run(['gateway', 'set-max-instances', '-g', 'demo', '-m', `${maximum}`]);
    if (state.targetPort !== input.targetPort) {
      await pam.run(['record', 'edit', 'demo-web', ...target]);
      input.say(`record demo-web: now 127.0.0.1:${input.targetPort}`);
    }
  }
  state.targetPort = input.targetPort;
  folder.writeState(state);
}

async function signIn(
  { folder, state, pam, address, code, say }: SetUpInput,
  once: (name: string, work: () => Promise<unknown>, said: string) => Promise<void>,
): Promise<void> {
  const password = folder.readPassword() ?? randomBytes(15).toString('base64url');
  const input = `${password}\n`;
  if (!state.done.includes('person') && code === undefined) {
    throw new Error(
      `the router in ${folder.router} has an owner, but this folder has no sign-in for it: remove ${folder.path}`,
    );
  }
  folder.writePassword(password);
  const claim = ['setup', address, code ?? '', '--name', 'demo', '--password-stdin', '--save-kit', folder.kit];
  await once('person', () => pam.run(claim, input), 'person demo claimed the router');
  const who = await pam.attempt(['whoami']);
  if (who.code === exitNotSignedIn) {
    await pam.run(['login', '--password-stdin'], input);
    say('signed in again');
  } else if (who.code !== 0) {
    throw new Error(`pam whoami: exit ${who.code}\n${who.stderr}`);
  }
}
