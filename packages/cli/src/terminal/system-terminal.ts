import { PamError } from '@sallyport/protocol';
import type { Terminal } from './terminal.ts';

/** The real terminal. `@clack/prompts` is loaded when the first question is asked. */
export function systemTerminal(): Terminal {
  let input: Promise<string> | undefined;
  const prompts = async () => import('@clack/prompts');
  const output = process.stderr;
  const interrupted = () => new PamError('PAM_INTERRUPTED', 'interrupted');
  return {
    interactive: process.stdin.isTTY === true && process.stderr.isTTY === true,
    animated: process.stderr.isTTY === true,
    screenRows: () => (process.stdout.isTTY ? Math.max(5, process.stdout.rows) : null),
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    ask: async (message) => {
      const { text, isCancel } = await prompts();
      const answer = await text({ message, output });
      if (isCancel(answer)) throw interrupted();
      return answer ?? '';
    },
    askSecret: async (message) => {
      const { password, isCancel } = await prompts();
      const answer = await password({ message, output });
      if (isCancel(answer)) throw interrupted();
      return answer ?? '';
    },
    confirm: async (message) => {
      const { confirm, isCancel } = await prompts();
      const answer = await confirm({ message, output, initialValue: false });
      if (isCancel(answer)) throw interrupted();
      return answer;
    },
    readInput: async (limitBytes) => {
      input ??= readAll(limitBytes);
      return input;
    },
  };
}

async function readAll(limitBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > limitBytes) throw new PamError('PAM_TOO_LARGE', `standard input is over ${limitBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
