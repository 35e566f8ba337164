import { PamError } from '@sallyport/protocol';

/** One answer of the server (RESP2). `error` begins with a word in capitals, as in `NOPERM …`. */
export type Reply =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'error'; readonly text: string }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'list'; readonly items: readonly Reply[] }
  | { readonly kind: 'nothing' };

const mostBytes = 4 * 1024 * 1024;
const longestLine = 16 * 1024;
const longestText = 1024 * 1024;
const mostItems = 100_000;
const deepest = 8;

interface OpenList {
  readonly items: Reply[];
  left: number;
}

const malformed = (): PamError => new PamError('PAM_TARGET_RESET', 'the server does not speak the protocol of Redis');

/**
 * Reads answers as they come in, each byte once; nothing is kept for what a header only announces.
 *
 * Bounds: 4 MiB in all, lines of 16 KiB, texts of 1 MiB, lists of 100,000, 8 levels.
 *
 * @returns a function that takes what came in and gives the answers that are whole. @throws PAM_TARGET_RESET
 * @see https://redis.io/docs/latest/develop/reference/protocol-spec/ RESP2
 */
export function replyReader(): (chunk: Buffer) => readonly Reply[] {
  let kept: Buffer[] = [];
  let keptBytes = 0;
  let taken = 0;
  /** Bytes that the element at hand needs before it is worth another look. */
  let wanted = 1;
  const open: OpenList[] = [];

  return (chunk) => {
    taken += chunk.byteLength;
    if (taken > mostBytes) throw new PamError('PAM_TARGET_RESET', `the server said more than ${mostBytes} bytes`);
    kept.push(chunk);
    keptBytes += chunk.byteLength;
    if (keptBytes < wanted) return [];
    const bytes = Buffer.concat(kept, keptBytes);
    const whole: Reply[] = [];
    let at = 0;
    for (;;) {
      const element = readElement(bytes, at);
      if (element.kind === 'incomplete') {
        wanted = element.bytes;
        break;
      }
      at = element.end;
      const reply = settle(element.value, open);
      if (reply !== null) whole.push(reply);
    }
    kept = [bytes.subarray(at)];
    keptBytes = bytes.byteLength - at;
    return whole;
  };
}

/** Puts a value where it belongs; answers the outermost one when it is whole. */
function settle(value: Reply | { readonly kind: 'begin'; readonly count: number }, open: OpenList[]): Reply | null {
  let done: Reply;
  if (value.kind === 'begin') {
    if (value.count > 0) {
      if (open.length === deepest) throw malformed();
      open.push({ items: [], left: value.count });
      return null;
    }
    done = { kind: 'list', items: [] };
  } else done = value;
  for (let list = open.at(-1); list !== undefined; list = open.at(-1)) {
    list.items.push(done);
    list.left -= 1;
    if (list.left > 0) return null;
    open.pop();
    done = { kind: 'list', items: list.items };
  }
  return done;
}

type Element =
  | { readonly kind: 'incomplete'; readonly bytes: number }
  | {
      readonly kind: 'whole';
      readonly end: number;
      readonly value: Reply | { readonly kind: 'begin'; readonly count: number };
    };

function readElement(bytes: Buffer, at: number): Element {
  const left = bytes.byteLength - at;
  if (left === 0) return { kind: 'incomplete', bytes: 1 };
  const type = String.fromCharCode(bytes[at] ?? 0);
  if (!'+-:$*'.includes(type)) throw malformed();
  const lineEnd = bytes.indexOf('\r\n', at + 1, 'latin1');
  if ((lineEnd < 0 ? left : lineEnd - at) > longestLine) throw malformed();
  if (lineEnd < 0) return { kind: 'incomplete', bytes: left + 1 };
  const line = bytes.toString('utf8', at + 1, lineEnd);
  const end = lineEnd + 2;
  switch (type) {
    case '+':
      return { kind: 'whole', end, value: { kind: 'text', text: line } };
    case '-':
      return { kind: 'whole', end, value: { kind: 'error', text: line } };
    case ':':
      return { kind: 'whole', end, value: { kind: 'number', value: numberOf(line, Number.MAX_SAFE_INTEGER) } };
    case '*': {
      const count = numberOf(line, mostItems);
      return { kind: 'whole', end, value: count < 0 ? { kind: 'nothing' } : { kind: 'begin', count } };
    }
    default: {
      const length = numberOf(line, longestText);
      if (length < 0) return { kind: 'whole', end, value: { kind: 'nothing' } };
      const needed = end - at + length + 2;
      if (left < needed) return { kind: 'incomplete', bytes: needed };
      if (bytes.toString('latin1', end + length, end + length + 2) !== '\r\n') throw malformed();
      return {
        kind: 'whole',
        end: at + needed,
        value: { kind: 'text', text: bytes.toString('utf8', end, end + length) },
      };
    }
  }
}

function numberOf(line: string, most: number): number {
  const value = /^-?\d{1,16}$/.test(line) ? Number(line) : Number.NaN;
  if (Number.isNaN(value) || Math.abs(value) > most) throw malformed();
  return value;
}
