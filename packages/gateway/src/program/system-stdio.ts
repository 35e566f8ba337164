import { PamError } from '@sallyport/protocol';

const stdinMaxChars = 65_536;

// A reader that went away (head, a dead parent) must not end an instance whose streams run.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);

/** Writes one line, its end included, to standard output. */
export function writeLine(line: string): void {
  process.stdout.write(line);
}

export function writeError(line: string): void {
  process.stderr.write(line);
}

/** Reads standard input to its end. @throws PAM_TOO_LARGE over 64 KiB. */
export async function readAllStdin(): Promise<string> {
  process.stdin.setEncoding('utf8');
  let text = '';
  for await (const chunk of process.stdin) {
    text += String(chunk);
    if (text.length > stdinMaxChars) throw new PamError('PAM_TOO_LARGE', `stdin is over ${stdinMaxChars} characters`);
  }
  return text;
}
