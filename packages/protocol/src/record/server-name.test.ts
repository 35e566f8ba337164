import fc from 'fast-check';
import { expect, test } from 'vitest';
import { serverName } from './server-name.ts';

test('every way of writing one address is one text', () => {
  const ways: readonly (readonly [string, readonly string[]])[] = [
    ['db.example.com:5432', ['db.example.com', 'DB.Example.COM', 'db.example.com.']],
    ['xn--bcher-kva.example:5432', ['bücher.example', 'BÜCHER.example.', 'xn--bcher-kva.example']],
    ['127.0.0.1:5432', ['127.0.0.1', '127.1', '0x7f000001', '2130706433', '::ffff:127.0.0.1', '[::ffff:7f00:1]']],
    ['[2001:db8::1]:5432', ['2001:db8::1', '2001:0DB8:0:0:0:0:0:1', '[2001:db8::0:1]']],
  ];
  for (const [one, hosts] of ways) for (const host of hosts) expect(serverName(host, 5432)).toBe(one);
});

test('names, ports and addresses that differ stay apart', () => {
  const places: readonly (readonly [string, number])[] = [
    ['db', 1],
    ['db', 2],
    ['db.example.com', 1],
    ['localhost', 1],
    ['127.0.0.1', 1],
    ['127.0.0.2', 1],
    ['::1', 1],
    ['my_host', 1],
  ];
  expect(new Set(places.map(([host, port]) => serverName(host, port))).size).toBe(places.length);
});

test('what is no host at all is kept as it is, and never read as another one', () => {
  expect(serverName('user@db', 1)).toBe('user@db:1');
  expect(serverName('db/x', 1)).toBe('db/x:1');
  expect(serverName('db?x', 1)).toBe('db?x:1');
});

test('it is the same for its own answer, whatever the text', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.domain(), fc.ipV4(), fc.ipV4Extended(), fc.ipV6(), fc.string({ maxLength: 40 })),
      (host) => {
        const once = serverName(host, 22).slice(0, -3);
        expect(serverName(once, 22)).toBe(`${once}:22`);
      },
    ),
  );
});
