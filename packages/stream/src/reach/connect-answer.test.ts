import fc from 'fast-check';
import { expect, test } from 'vitest';
import { answerMostBytes, type ConnectAnswer, readConnectAnswer } from './connect-answer.ts';

const read = (text: string): ConnectAnswer => readConnectAnswer(Buffer.from(text, 'latin1'));

test('reads status and reason, and where the answer ends', () => {
  const head = 'HTTP/1.1 200 Connection established\r\nVia: 1.1 squid\r\n\r\n';
  expect(read(`${head}SPRT`)).toEqual({
    kind: 'answer',
    status: 200,
    reason: 'Connection established',
    schemes: [],
    length: head.length,
  });
  expect(read('HTTP/1.0 200\r\n\r\n')).toMatchObject({ status: 200, reason: '' });
});

test('names the ways to sign in that a 407 offers', () => {
  const text =
    'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\nproxy-authenticate:NTLM\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n';
  expect(read(text)).toMatchObject({ status: 407, schemes: ['Negotiate', 'NTLM', 'Basic'] });
});

test('skips interim answers', () => {
  const text = 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n';
  expect(read(text)).toMatchObject({ kind: 'answer', status: 200, length: text.length });
});

test('a length field means nothing: what follows the head of a 2xx is the router’s', () => {
  const head = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n';
  expect(read(`${head}\u0016\u0003\u0001`)).toMatchObject({ status: 200, length: head.length });
});

test.each([
  'SSH-2.0-OpenSSH_9.2\r\n',
  '\u0015\u0003\u0001',
  'HTTP/2 200\r\n\r\n',
  'HTTP/1.1 2000 OK\r\n\r\n',
  'HTTP/1.1 OK\r\n\r\n',
  'HTTP/1.1  200 OK\r\n\r\n',
  'HTTP/1.1 600 x\r\n\r\n',
])('%j is no answer', (text) => {
  expect(read(text)).toMatchObject({ kind: 'garbled' });
});

test('an endless head is refused at its limit, and nothing behind the limit is looked at', () => {
  const most = `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(2_000)}`;
  expect(read(most.slice(0, answerMostBytes - 1))).toEqual({ kind: 'incomplete' });
  expect(read(most.slice(0, answerMostBytes))).toMatchObject({ kind: 'garbled' });
  expect(read(`${most}\r\n`)).toMatchObject({ kind: 'garbled' });
  const interim = 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(1_000);
  expect(read(interim)).toMatchObject({ kind: 'garbled' });
});

test('a reason that could colour a terminal or break a line is shown as it cannot', () => {
  const answer = read('HTTP/1.1 403 \u001b[31mno\u0007\nx\u00ff\r\n\r\n');
  expect(answer).toMatchObject({ kind: 'garbled' });
  expect(read('HTTP/1.1 403 \u001b[31mno\u0007\u00ff\r\n\r\n')).toMatchObject({ reason: '?[31mno??' });
});

const line = fc.string({ unit: fc.constantFrom(...'HTP/1.20 \r\n:aX\u00ff'.split('')), maxLength: 40 });
const answers = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.array(line, { maxLength: 8 }).map((lines) => `HTTP/1.1 ${lines.join('\r\n')}\r\n\r\n`),
  fc.integer({ min: 100, max: 599 }).map((status) => `HTTP/1.1 ${status} x\r\nA: b\r\n\r\nrest`),
);

test('bytes that come in pieces lead to the same answer, and never to another before', () => {
  fc.assert(
    fc.property(answers, (text) => {
      const bytes = Buffer.from(text, 'latin1');
      const whole = readConnectAnswer(bytes);
      for (let length = 0; length < bytes.length; length++) {
        const part = readConnectAnswer(bytes.subarray(0, length));
        if (part.kind !== 'incomplete') {
          expect(part).toEqual(whole);
          return;
        }
      }
    }),
    { numRuns: 500 },
  );
});
