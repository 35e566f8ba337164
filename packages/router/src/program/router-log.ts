import { Writable } from 'node:stream';
import pino from 'pino';
import { z } from 'zod';

type LogFields = Readonly<Record<string, string | number>>;

/** Log of the router: constant messages, typed fields; UIDs, ids, codes, addresses, never a secret or a title. */
export interface RouterLog {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export const logFormats = ['json', 'text'] as const;
export type LogLevel = (typeof logLevels)[number];
export type LogFormat = (typeof logFormats)[number];

const lineSchema = z.looseObject({ level: z.string(), time: z.string(), msg: z.string().default('') });

/** One JSON line of pino as a line for people: time, level, message, field=value. */
function textLine(json: string): string {
  const { level, time, msg, ...fields } = lineSchema.parse(JSON.parse(json));
  const more = Object.entries(fields).map(
    ([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `${time} ${level.toUpperCase().padEnd(5)} ${msg}${more.join('')}\n`;
}

/** In-process: pino's transports are worker threads, which a bundle does not carry. */
function textStream(write: (line: string) => void): Writable {
  return new Writable({
    decodeStrings: false,
    write: (line: string, _encoding, done) => {
      write(textLine(line));
      done();
    },
  });
}

/** @param write - where lines go, stderr in the program. */
export function createRouterLog(level: LogLevel, format: LogFormat, write: (line: string) => void): RouterLog {
  const out = format === 'text' ? textStream(write) : { write };
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    out,
  );
  return {
    debug: (message, fields = {}) => logger.debug(fields, message),
    info: (message, fields = {}) => logger.info(fields, message),
    warn: (message, fields = {}) => logger.warn(fields, message),
    error: (message, fields = {}) => logger.error(fields, message),
  };
}
