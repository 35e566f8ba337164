import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { decodeJoinConfig, encodeJoinConfig } from '@sallyport/seal';

/** What an earlier tour left in the data folder. */
export interface TourState {
  /** Port of the router, 0 before the first start. */
  port: number;
  targetPort: number;
  /** Steps of the set-up that need not be done again. */
  done: string[];
}

/** Paths of everything the tour writes. Nothing lies outside of it, but for ~/.sallyport when there is none. */
export class DataFolder {
  readonly path: string;
  readonly router: string;
  readonly logs: string;
  readonly home: string;
  readonly kit: string;
  readonly joinConfig: string;
  readonly signIn: string;
  readonly #stateFile: string;

  constructor(path: string) {
    this.path = path;
    this.router = join(path, 'router');
    this.logs = join(path, 'logs');
    this.home = join(path, 'home');
    this.kit = join(path, 'demo-kit.json');
    this.joinConfig = join(path, 'demo-gateway.conf');
    this.signIn = join(path, 'demo.txt');
    this.#stateFile = join(path, 'tour.json');
    mkdirSync(this.home, { recursive: true, mode: 0o700 });
  }

  instance(number: number): string {
    return join(this.path, 'instances', `${number}`);
  }

  readState(): TourState {
    const fresh: TourState = { port: 0, targetPort: 0, done: [] };
    if (!existsSync(this.#stateFile)) return fresh;
    return { ...fresh, ...(JSON.parse(readFileSync(this.#stateFile, 'utf8')) as Partial<TourState>) };
  }

  writeState(state: TourState): void {
    writeWhole(this.#stateFile, `${JSON.stringify(state, null, 2)}\n`);
  }

  readPassword(): string | undefined {
    if (!existsSync(this.signIn)) return undefined;
    return /^password +(\S+)$/m.exec(readFileSync(this.signIn, 'utf8'))?.[1];
  }

  writePassword(password: string): void {
    writeWhole(
      this.signIn,
      `The demo's sign-in. This file exists only for the demo.\nname     demo\npassword ${password}\n`,
    );
  }

  /** The router has another port than last time: tells the profile and the gateway's configuration. */
  async move(address: string): Promise<void> {
    const profileFile = join(this.home, 'profiles', 'demo', 'profile.json');
    const profile = JSON.parse(readFileSync(profileFile, 'utf8')) as Record<string, unknown>;
    writeWhole(profileFile, `${JSON.stringify({ ...profile, router: address }, null, 2)}\n`);
    const config = await decodeJoinConfig(readFileSync(this.joinConfig, 'utf8'));
    writeWhole(this.joinConfig, `${encodeJoinConfig({ ...config, routers: [address] })}\n`);
  }

  /**
   * Makes plain `npx pam` find the profile: a new ~/.sallyport whose profile `demo` is this folder's. One that exists
   * is left as it is.
   *
   * @returns what to write in front of a `pam` command so that it acts as the demo person.
   */
  pamPrefix(): string {
    const userHome = join(homedir(), '.sallyport');
    const mine = join(this.home, 'profiles', 'demo');
    try {
      if (!existsSync(userHome)) {
        mkdirSync(join(userHome, 'profiles'), { recursive: true, mode: 0o700 });
        symlinkSync(mine, join(userHome, 'profiles', 'demo'));
        writeFileSync(join(userHome, 'current'), 'demo\n', { mode: 0o600 });
      }
      const profile = join(userHome, 'profiles', 'demo', 'profile.json');
      const isMine =
        existsSync(profile) && readFileSync(profile, 'utf8') === readFileSync(join(mine, 'profile.json'), 'utf8');
      if (isMine)
        return readFileSync(join(userHome, 'current'), 'utf8').trim() === 'demo' ? 'npx pam' : 'npx pam --profile demo';
    } catch (error) {
      process.stderr.write(`~/.sallyport was left alone: ${error instanceof Error ? error.message : String(error)}\n`);
    }
    return `SALLYPORT_HOME=${this.home} npx pam`;
  }
}

function writeWhole(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  chmodSync(`${file}.new`, 0o600);
  renameSync(`${file}.new`, file);
}
