/** One line of a program's JSON log. */
export interface LogLine {
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** Lines that are JSON objects with a `msg`; anything else a program prints is passed over. */
export function logLines(text: string): readonly LogLine[] {
  return text.split('\n').flatMap((line) => {
    if (!line.startsWith('{')) return [];
    const value: unknown = JSON.parse(line);
    return isLogLine(value) ? [value] : [];
  });
}

function isLogLine(value: unknown): value is LogLine {
  return typeof value === 'object' && value !== null && 'msg' in value && typeof value.msg === 'string';
}
