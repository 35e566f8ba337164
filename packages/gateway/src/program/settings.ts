import { readFileSync } from 'node:fs';
import { PamError } from '@sallyport/protocol';
import { z } from 'zod';

const fileSchema = z.record(z.string().max(64), z.union([z.string().max(65_536), z.number(), z.boolean()]));
const fileMaxBytes = 65_536;

/** Where a program's settings come from: flag, then environment variable, then settings file. */
export interface Settings {
  /** The value of `--a-b`, SALLYPORT_A_B or `a-b` in the file; undefined when none is given. */
  text(name: string): string | undefined;
  /** on: present as a flag, or 1/true/yes/on. */
  isOn(name: string): boolean;
  /** @throws PAM_CONFIG_INVALID unless it is a whole number within the bounds. */
  whole(name: string, bounds: { readonly least: number; readonly most: number }): number | undefined;
}

const environmentName = (name: string): string => `SALLYPORT_${name.toUpperCase().replaceAll('-', '_')}`;
const flagName = (name: string): string => name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

function readFile(path: string): Readonly<Record<string, string | number | boolean>> {
  const invalid = (why: string, reason?: unknown): PamError =>
    new PamError('PAM_CONFIG_INVALID', `the settings file ${path} ${why}`, { cause: reason });
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (reason) {
    throw invalid('cannot be read', reason);
  }
  if (text.length > fileMaxBytes) throw invalid(`is over ${fileMaxBytes} bytes`);
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch (reason) {
    throw invalid('is not a JSON object of texts, numbers and switches', reason);
  }
}

/**
 * @param flags - as commander parsed them: camel-case names, `undefined` or `false` when not given.
 * @throws PAM_CONFIG_INVALID when the settings file named by --config cannot be used.
 */
export function readSettings(flags: Readonly<Record<string, unknown>>, environment: NodeJS.ProcessEnv): Settings {
  const ofFlag = (name: string): string | undefined => {
    const value = flags[flagName(name)];
    return value === undefined || value === false ? undefined : String(value);
  };
  const path = ofFlag('config') ?? environment[environmentName('config')];
  const file = path === undefined || path === '' ? {} : readFile(path);
  const text = (name: string): string | undefined => {
    const value = ofFlag(name) ?? environment[environmentName(name)] ?? file[name];
    return value === undefined || value === '' ? undefined : String(value);
  };
  return {
    text,
    isOn: (name) => /^(?:1|true|yes|on)$/i.test(text(name) ?? ''),
    whole: (name, { least, most }) => {
      const value = text(name);
      if (value === undefined) return undefined;
      const number = /^\d{1,10}$/.test(value) ? Number(value) : Number.NaN;
      if (number >= least && number <= most) return number;
      throw new PamError('PAM_CONFIG_INVALID', `--${name} is a whole number from ${least} to ${most}, not ${value}`);
    },
  };
}
