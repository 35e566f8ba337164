import type { Child, ChildOptions, Later, Within } from '@sallyport/testkit';
import { type LogLine, logLines } from './log-lines.ts';
import { startProgram } from './programs.ts';
import { until } from './until.ts';

/** A running gateway process, seen from outside: its log, its pid. */
export interface Instance {
  readonly child: Child;
  readonly stateDir: string;
  log(): readonly LogLine[];
  /** The first line with this message, past or to come. */
  said(msg: string | RegExp): Promise<LogLine>;
  /** Instance id, once it is ready (as member or as standby). */
  id(): Promise<string>;
  /** Ids of the streams whose target it reached, in order. */
  opened(): readonly string[];
  kill(signal?: NodeJS.Signals): Promise<void>;
}

export interface InstanceOptions {
  /** Value of GATEWAY_CONFIG. */
  readonly config: string;
  readonly stateDir: string;
  readonly args?: readonly string[];
  readonly env?: ChildOptions['env'];
  /** Run its sources, not its bundle: for faults that are planted in a library. */
  readonly fromSources?: boolean;
  /** Another machine, or a limit, to run in. */
  readonly within?: Within | undefined;
}

/** Starts `pam-gateway start` with the configuration in its environment, as a container would. */
export function startInstance(later: Later, options: InstanceOptions): Instance {
  const child = startProgram(
    later,
    'pam-gateway',
    ['start', '--state-dir', options.stateDir, '--log-format', 'json', '--exit-with-stdin', ...(options.args ?? [])],
    {
      env: { GATEWAY_CONFIG: options.config, ...options.env },
      within: options.within,
      fromSources: options.fromSources ?? false,
    },
  );
  let ended = false;
  child.exited.then(
    () => void (ended = true),
    () => void (ended = true),
  );
  const log = (): readonly LogLine[] => logLines(child.stdout());
  const matches = (line: LogLine, msg: string | RegExp): boolean =>
    typeof msg === 'string' ? line.msg === msg : msg.test(line.msg);
  async function said(msg: string | RegExp): Promise<LogLine> {
    return until(`instance says ${msg}`, () => {
      const line = log().find((one) => matches(one, msg));
      if (line === undefined && ended) throw new Error(`instance ended: ${child.stdout()}\n${child.stderr()}`);
      return line;
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${child.stdout().slice(-4_000)}\n${child.stderr().slice(-4_000)}`);
    });
  }
  return {
    child,
    stateDir: options.stateDir,
    log,
    said,
    id: async () => String((await said('ready'))['instance']),
    opened: () =>
      log()
        .filter((line) => line.msg === 'stream opened')
        .map((line) => String(line['stream'])),
    kill: async (signal = 'SIGKILL') => {
      child.kill(signal);
      await child.exited;
    },
  };
}
