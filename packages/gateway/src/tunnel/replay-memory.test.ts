import { expect, test } from 'vitest';
import { createReplayMemory } from './replay-memory.ts';

test('a request is taken once for as long as it could be accepted again', () => {
  const memory = createReplayMemory();
  memory.take('a', 165, 100);
  expect(() => memory.take('a', 165, 164)).toThrow('used here before');
  memory.take('b', 165, 164);
});

test('when it is full it forgets only what is over, and refuses the rest', () => {
  const memory = createReplayMemory(3);
  for (const [jti, until] of [
    ['a', 110],
    ['b', 165],
    ['c', 165],
  ] as const)
    memory.take(jti, until, 100);
  memory.take('d', 170, 111);
  expect(() => memory.take('e', 170, 111)).toThrow('too many');
  for (const jti of ['b', 'c', 'd']) expect(() => memory.take(jti, 170, 111)).toThrow('used here before');
});
