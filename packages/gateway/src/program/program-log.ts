import { PamError } from '@sallyport/protocol';
import { pino } from 'pino';
import type { Log } from '../agent/index.ts';

export const logFormats = ['json', 'text'] as const;
export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export interface LogSettings {
  readonly format: (typeof logFormats)[number];
  readonly level: (typeof logLevels)[number];
  /** Takes one line with its line end. */
  readonly write: (line: string) => void;
}

/** Picks one of a closed list. @throws PAM_CONFIG_INVALID naming the setting and what it may be. */
export function oneOf<T extends string>(name: string, value: string, choices: readonly T[]): T {
  const choice = choices.find((each) => each === value);
  if (choice !== undefined) return choice;
  throw new PamError('PAM_CONFIG_INVALID', `--${name} is one of ${choices.join(', ')}, not ${value}`);
}

const shown = (value: unknown): string => {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return /[\s"=]/.test(text) ? JSON.stringify(text) : text;
};

/** `2026-11-24T08:15:30.120Z INFO ready instance=… gateway=…` */
function asText(line: string): string {
  const { time, level, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${shown(value)}`);
  return `${String(time)} ${String(level).toUpperCase()} ${String(msg)}${rest.join('')}\n`;
}

/** Pino in this process, one JSON or text line per event. */
export function createProgramLog(settings: LogSettings): Log {
  const { format, write } = settings;
  const logger = pino(
    {
      level: settings.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => write(format === 'text' ? asText(line) : line) },
  );
  return {
    debug: (message, fields) => logger.debug(fields ?? {}, message),
    info: (message, fields) => logger.info(fields ?? {}, message),
    warn: (message, fields) => logger.warn(fields ?? {}, message),
    error: (message, fields) => logger.error(fields ?? {}, message),
  };
}
