import fc from 'fast-check';
import { expect, test } from 'vitest';
import { divideDescriptors, readDescriptorLimit } from './descriptor-budget.ts';
import { UndecidedSockets } from './undecided-sockets.ts';

test('keeps at most the limit of undecided sockets, and the oldest goes first', () => {
  const sockets = new UndecidedSockets<number>({ most: 3, perAddress: 3 });
  const gone = [1, 2, 3, 4, 5].map((key) => sockets.add(key, `address ${key}`, key));
  expect(gone).toEqual([null, null, null, 1, 2]);
});

test('an address with too many loses its own oldest, not that of others', () => {
  const sockets = new UndecidedSockets<string>({ most: 4, perAddress: 2 });
  sockets.add('quiet', 'a', 0);
  const gone = ['x', 'y', 'z', 'last'].map((key) => sockets.add(key, 'b', 1));
  expect(gone).toEqual([null, null, null, 'x']);
  expect(sockets.add('another', 'c', 2)).toBe('y');
  expect(sockets.size).toBe(4);
});

test('a burst of one address is no offence while there is room', () => {
  const sockets = new UndecidedSockets<number>({ most: 512, perAddress: 64 });
  expect(Array.from({ length: 512 }, (_, key) => sockets.add(key, 'a', 0)).every((gone) => gone === null)).toBe(true);
});

test('whatever comes, moves and goes: over the limit the oldest of the address with the most goes, if that has too many', () => {
  const limits = { most: 6, perAddress: 2 };
  const act = fc.record({
    does: fc.constantFrom('add', 'add', 'add', 'move', 'remove'),
    key: fc.nat(20),
    address: fc.constantFrom('a', 'b', 'c'),
  });
  fc.assert(
    fc.property(fc.array(act, { maxLength: 80 }), (acts) => {
      const sockets = new UndecidedSockets<number>(limits);
      // Keys in the order in which they came to their address, and in all.
      const all: number[] = [];
      const at = new Map<string, number[]>(['a', 'b', 'c'].map((address) => [address, []]));
      const leave = (key: number): void => {
        for (const keys of at.values()) if (keys.includes(key)) keys.splice(keys.indexOf(key), 1);
      };
      for (const [nowMs, { does, key, address }] of acts.entries()) {
        if (does === 'remove') {
          sockets.remove(key);
          leave(key);
          if (all.includes(key)) all.splice(all.indexOf(key), 1);
        } else if (does === 'move') {
          sockets.move(key, address);
          if (!all.includes(key)) continue;
          leave(key);
          at.get(address)?.push(key);
        } else if (!all.includes(key)) {
          all.push(key);
          at.get(address)?.push(key);
          const gone = sockets.add(key, address, nowMs);
          const greediest = [...at.values()].toSorted((x, y) => y.length - x.length)[0] ?? [];
          const ties = [...at.values()].filter(({ length }) => length === greediest.length);
          const mayGo = greediest.length > limits.perAddress ? ties.map(([oldest]) => oldest) : [all[0]];
          if (all.length <= limits.most) expect(gone).toBeNull();
          else expect(mayGo).toContain(gone);
          if (gone === null) continue;
          leave(gone);
          all.splice(all.indexOf(gone), 1);
        }
        expect(sockets.size).toBe(all.length);
      }
    }),
  );
});

test('takes out those that came too long ago, and only them', () => {
  const sockets = new UndecidedSockets<number>({ most: 10, perAddress: 10 });
  for (const key of [1, 2, 3]) sockets.add(key, 'a', key * 100);
  sockets.remove(2);
  expect(sockets.takeOlder(200)).toEqual([1]);
  expect(sockets.size).toBe(1);
});

test('never plans more sockets than there are descriptors, whatever their number', () => {
  fc.assert(
    fc.property(fc.integer({ min: 64, max: 1_000_000 }), (descriptors) => {
      const budget = divideDescriptors(descriptors, 512);
      const { undecided, legs, reserved, waiting } = budget;
      expect(undecided + legs + reserved).toBeLessThanOrEqual(Math.max(16, descriptors - 48));
      expect(reserved).toBeGreaterThan(0);
      expect(waiting).toBeLessThan(reserved + legs);
      expect(budget.parked).toBeLessThanOrEqual(budget.legs / 10);
      expect(budget.legs).toBeGreaterThan(0);
    }),
  );
});

test('reads the limit of this process', () => {
  expect(readDescriptorLimit()).toBeGreaterThan(63);
});
