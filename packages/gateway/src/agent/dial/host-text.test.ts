import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { expect, test } from 'vitest';
import { readHost } from './host-text.ts';

const notCanonical = [
  '127.1',
  '127.0.1',
  '0',
  '0.0',
  '2852039166',
  '0x7f000001',
  '0X7F.1',
  '0x7f.0.0.1',
  '0177.0.0.1',
  '127.0.0.01',
  '127.0.0.0x1',
  '169.254.169.254.',
  '1.2.3.4.5',
  '256.1.1.1',
  '1.2.3',
  '0x',
  'example.1',
  'example.0x7f',
  '017700000001',
  '4294967295',
];
test.each(notCanonical)('%s is refused: a resolver may read it as another address', (text) => {
  expect(readHost(text).kind).toBe('refused');
});

const notNames = [
  '',
  '.',
  '..',
  'a..b',
  '-a.example',
  'a-.example',
  'a b',
  'a/b',
  'user@host',
  'host:80',
  '[::1]',
  'localhost%00',
  'exämple.org',
  '１２７.0.0.1',
  '127。0。0。1',
  '①②⑦.0.0.1',
  'a'.repeat(64),
  'a.'.repeat(127),
  'fe80::1%eth0',
  '::1%lo',
  '::g',
  '::127.0.0.1',
  '1::2::3',
  '*.example',
];
test.each(notNames)('%j is refused as neither a name nor an address', (text) => {
  expect(readHost(text).kind).toBe('refused');
});

test.each([
  ['Example.ORG', 'example.org'],
  ['example.org.', 'example.org'],
  ['LOCALHOST', 'localhost'],
  ['xn--exmple-cua.org', 'xn--exmple-cua.org'],
  ['_db._tcp.internal', '_db._tcp.internal'],
  ['10-0-0-1.nip.example', '10-0-0-1.nip.example'],
  ['0x7f.example', '0x7f.example'],
])('%s is the name %s', (text, name) => {
  expect(readHost(text)).toEqual({ kind: 'name', name });
});

test.each([
  ['10.0.0.5', '10.0.0.5'],
  ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
  ['::ffff:169.254.169.254', '::ffff:a9fe:a9fe'],
  ['::1', '::1'],
])('%s is the address %s', (text, address) => {
  expect(readHost(text)).toEqual({ kind: 'address', address });
});

test('every canonical address is read as itself, and no text makes it throw', () => {
  fc.assert(
    fc.property(fc.ipV4(), (text) => {
      expect(readHost(text)).toEqual({ kind: 'address', address: text });
    }),
  );
  fc.assert(
    fc.property(
      fc.ipV6().filter((text) => !/^::\d+\./.test(text)),
      (text) => {
        const read = readHost(text);
        expect(read.kind).toBe('address');
        if (read.kind === 'address') expect(ipaddr.parse(read.address).toString()).toBe(ipaddr.parse(text).toString());
      },
    ),
  );
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      const read = readHost(text);
      if (read.kind === 'name') expect(read.name).toMatch(/^[a-z0-9_.-]+$/);
    }),
  );
});
