import { expect, test } from 'vitest';
import { markStands, moveMark, readMark } from './send-mark.ts';

test('only texts of ours are a mark, and the highest counts', () => {
  const mark = readMark('description', ['sallyport:send=7', 'of the desk', 'sallyport:send=12', 'sallyport:send=x']);
  expect(mark).toMatchObject({ number: 12, own: ['sallyport:send=7', 'sallyport:send=12'], hasOthers: true });
  expect(readMark('description', [])).toMatchObject({ number: 0, own: [], hasOthers: false });
});

test('a move takes away what was read, and nothing of others', () => {
  const mark = readMark('description', ['sallyport:send=7', 'of the desk']);
  expect(moveMark(mark, 8)).toEqual([
    { operation: 'delete', attribute: 'description', values: ['sallyport:send=7'] },
    { operation: 'add', attribute: 'description', values: ['sallyport:send=8'] },
  ]);
});

test('where there was no mark, the first one is made only while there is none', () => {
  expect(markStands(readMark('description', ['of the desk']))).toEqual({
    kind: 'not',
    of: { kind: 'begins', attribute: 'description', value: 'sallyport:send=' },
  });
});
