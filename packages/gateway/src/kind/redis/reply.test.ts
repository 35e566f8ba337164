import { expect, test } from 'vitest';
import fc from 'fast-check';
import { type Reply, replyReader } from './reply.ts';

const deep = (levels: number): Buffer => Buffer.from('*1\r\n'.repeat(levels));

function encoded(reply: Reply): string {
  switch (reply.kind) {
    case 'text':
      return `$${Buffer.byteLength(reply.text)}\r\n${reply.text}\r\n`;
    case 'error':
      return `-${reply.text}\r\n`;
    case 'number':
      return `:${reply.value}\r\n`;
    case 'list':
      return `*${reply.items.length}\r\n${reply.items.map(encoded).join('')}`;
    case 'nothing':
      return '$-1\r\n';
    default:
      return reply satisfies never;
  }
}

const { reply: anyReply } = fc.letrec<{ reply: Reply }>((tie) => ({
  reply: fc.oneof(
    { maxDepth: 6, depthSize: 'small' },
    fc.string({ unit: 'binary' }).map((text): Reply => ({ kind: 'text', text })),
    fc.stringMatching(/^[A-Z]{1,9} [a-z ]{0,20}$/).map((text): Reply => ({ kind: 'error', text })),
    fc.maxSafeInteger().map((value): Reply => ({ kind: 'number', value: value === 0 ? 0 : value })),
    fc.constant<Reply>({ kind: 'nothing' }),
    fc.array(tie('reply'), { maxLength: 4 }).map((items): Reply => ({ kind: 'list', items })),
  ),
}));

test('whatever the pieces that answers come in, they are read whole and in order', () => {
  fc.assert(
    fc.property(fc.array(anyReply, { maxLength: 5 }), fc.array(fc.nat(40), { maxLength: 60 }), (replies, cuts) => {
      let bytes = Buffer.from(replies.map(encoded).join(''));
      const read = replyReader();
      const found: Reply[] = [];
      for (const cut of cuts) {
        found.push(...read(bytes.subarray(0, cut)));
        bytes = bytes.subarray(cut);
      }
      found.push(...read(bytes));
      expect(found).toEqual(replies);
    }),
  );
});

test('nothing else than answers within the bounds is taken', () => {
  for (const lie of [
    'HTTP/1.1 400 Bad Request\r\n',
    '*4294967295\r\n',
    '$4294967295\r\n',
    '*-2x\r\n',
    '$3\r\nabcd\r\n',
    `+${'x'.repeat(20_000)}`,
  ])
    expect(() => replyReader()(Buffer.from(lie))).toThrow('protocol of Redis');
  expect(() => replyReader()(deep(9))).toThrow('protocol of Redis');
  expect(replyReader()(deep(8))).toEqual([]);
});

test('what is announced is not kept, and what is said has an end', () => {
  const read = replyReader();
  const line = Buffer.from(`+${'x'.repeat(16_000)}\r\n`);
  expect(() => {
    for (let times = 0; times < 300; times += 1) read(line);
  }).toThrow('4194304 bytes');
});
