import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import { keptBundles } from '../build/kept-bundles.ts';

const root = resolve(import.meta.dirname, '..', '..');

const built = await keptBundles(() =>
  process.stdout.write('Building the programs, once for this state of the sources…\n'),
);

const files = {
  pam: join(built, 'pam.mjs'),
  'pam-router': join(built, 'pam-router.mjs'),
  'pam-gateway': join(built, 'pam-gateway.mjs'),
  target: join(root, 'scripts/tour/web-target.ts'),
} as const;

/** Command and arguments that start one of ours under this Node. */
export function commandOf(program: keyof typeof files, args: readonly string[]): readonly [string, readonly string[]] {
  return [process.execPath, [files[program], ...args]];
}

export interface PamRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `pam` as the demo person: profile `demo` in the home of the data folder. */
export class Pam {
  readonly #home: string;
  readonly #profile: string;

  constructor(home: string, profile: string) {
    this.#home = home;
    this.#profile = profile;
  }

  /** The environment that makes any `pam` act as this person. What the caller's shell says about pam does not count. */
  environment(): Record<string, string> {
    return { SALLYPORT_HOME: this.#home, SALLYPORT_PROFILE: this.#profile, SALLYPORT_FORMAT: 'table', NO_COLOR: '1' };
  }

  /** Runs a command to its end; never rejects because of its exit code. */
  attempt(args: readonly string[], input = ''): Promise<PamRun> {
    const [command, all] = commandOf('pam', args);
    const child = spawn(command, all, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...this.environment() },
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => void out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => void err.push(chunk));
    child.stdin.on('error', () => child.stdin.destroy());
    child.stdin.end(input);
    return new Promise((done, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        done({ code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() });
      });
    });
  }

  /** Runs a command that must succeed; what it says when it does not is the error. */
  async run(args: readonly string[], input = ''): Promise<string> {
    const { code, stdout, stderr } = await this.attempt(args, input);
    if (code !== 0) throw new Error(`pam ${args.join(' ')}: exit ${code}\n${stderr}${stdout}`.trimEnd());
    return stdout;
  }

  async json(args: readonly string[], input = ''): Promise<unknown> {
    return JSON.parse(await this.run([...args, '--format', 'json'], input));
  }
}
