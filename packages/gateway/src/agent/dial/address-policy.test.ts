import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type AddressPolicy, decideAddress } from './address-policy.ts';

const open: AddressPolicy = { networks: [], onlyInside: false, never: [], localAddresses: [] };
const everything: AddressPolicy = { ...open, networks: ['0.0.0.0/0', '::/0'] };

const special = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '100.64.0.1',
  '127.0.0.1',
  '127.255.255.254',
  '169.254.1.1',
  '172.16.0.1',
  '192.0.2.1',
  '192.168.1.1',
  '198.18.0.1',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '192.88.99.1',
  '::',
  '::1',
  'fe80::1',
  'fec0::1',
  'fc00::1',
  'fd12:3456::1',
  'ff02::1',
  '100::1',
  '2001:db8::1',
  '2001:2::1',
  '3fff::1',
  '::ffff:127.0.0.1',
  '::ffff:10.0.0.1',
  '::ffff:a00:1',
  '::ffff:0:127.0.0.1',
  '::127.0.0.1',
  '::8.8.8.8',
  '::7f00:1',
  '::808:808',
  '64:ff9b::127.0.0.1',
  '64:ff9b::8.8.8.8',
  '64:ff9b:1::10.0.0.1',
  '2002:7f00:1::1',
  '2002:808:808::1',
  '2001:0:808:808::1',
  '2a00:1:2:3:0:5efe:a00:1',
  '2a00:1:2:3:200:5efe:a00:1',
];
test.each(special)('%s is denied while no network lists it', (address) => {
  expect(decideAddress(address, 22, open).kind).toBe('denied');
});

test.each(['8.8.8.8', '1.1.1.1', '2a00:1450:4001::1', '::ffff:8.8.8.8'])('%s is ordinary and allowed', (address) => {
  expect(decideAddress(address, 22, open).kind).toBe('allowed');
});

const metadata = [
  '169.254.169.254',
  '::ffff:169.254.169.254',
  '::ffff:a9fe:a9fe',
  '::ffff:0:169.254.169.254',
  '::a9fe:a9fe',
  '64:ff9b::169.254.169.254',
  '64:ff9b::a9fe:a9fe',
  '64:ff9b:1::a9fe:a9fe',
  '2002:a9fe:a9fe::1',
  '2001:0:a9fe:a9fe::',
  '2001:0:0:0:0:0:5601:5601',
  'fd00:ec2::254',
  'FD00:0EC2:0:0:0:0:0:254',
  'fd20:ce::254',
  '169.254.170.2',
  '169.254.170.23',
  '100.100.100.200',
  '168.63.129.16',
  '192.0.0.192',
];
test.each(metadata)('%s is a metadata service: denied even when every network is listed', (address) => {
  expect(decideAddress(address, 80, everything)).toEqual({ kind: 'denied', why: 'metadata' });
});

test.each([
  '',
  '127.1',
  '0',
  '2852039166',
  '0x7f000001',
  '010.0.0.1',
  'fe80::1%eth0',
  '::1%1',
  '[::1]',
  'example.org',
  '1.2.3.4 ',
])('%j is not an address the policy judges', (address) => {
  expect(decideAddress(address, 22, everything)).toEqual({ kind: 'denied', why: 'not-an-address' });
});

test('a listed network opens its special addresses and no others', () => {
  const lan: AddressPolicy = { ...open, networks: ['10.1.0.0/16', 'fd12::/32', 'nonsense', '10.9.0.0/99'] };
  expect(decideAddress('10.1.2.3', 22, lan)).toEqual({ kind: 'allowed', address: '10.1.2.3' });
  expect(decideAddress('::ffff:10.1.2.3', 22, lan)).toEqual({ kind: 'allowed', address: '10.1.2.3' });
  expect(decideAddress('fd12:0:0::7', 22, lan)).toEqual({ kind: 'allowed', address: 'fd12::7' });
  expect(decideAddress('10.2.0.1', 22, lan).kind).toBe('denied');
  expect(decideAddress('10.9.0.1', 22, lan).kind).toBe('denied');
  expect(decideAddress('fd13::7', 22, lan).kind).toBe('denied');
});

test('a translated address needs its own network and that of the address inside it', () => {
  const nat: AddressPolicy = { ...open, networks: ['64:ff9b::/96'] };
  expect(decideAddress('64:ff9b::8.8.8.8', 22, nat).kind).toBe('allowed');
  expect(decideAddress('64:ff9b::10.0.0.1', 22, nat)).toEqual({ kind: 'denied', why: 'special' });
  expect(decideAddress('64:ff9b::10.0.0.1', 22, { ...nat, networks: ['64:ff9b::/96', '10.0.0.0/8'] }).kind).toBe(
    'allowed',
  );
});

test('a supplied host lies inside the networks even when it is public', () => {
  const inside: AddressPolicy = { ...open, onlyInside: true, networks: ['8.8.8.0/24'] };
  expect(decideAddress('8.8.8.8', 53, inside).kind).toBe('allowed');
  expect(decideAddress('1.1.1.1', 53, inside)).toEqual({ kind: 'denied', why: 'outside' });
});

test('the router and the own listeners are denied under every local name of this host', () => {
  const policy: AddressPolicy = {
    ...everything,
    never: [
      { address: '127.0.0.1', port: 7443, why: 'router' },
      { address: '0.0.0.0', port: 8099, why: 'own-listener' },
      { address: '198.51.100.9', port: 7443, why: 'router' },
    ],
    localAddresses: ['127.0.0.1', '::1', '192.168.7.7', 'fe80::5%eth0'],
  };
  for (const address of [
    '127.0.0.1',
    '127.9.9.9',
    '::1',
    '192.168.7.7',
    '::ffff:192.168.7.7',
    '0.0.0.0',
    '::',
    '198.51.100.9',
  ]) {
    expect(decideAddress(address, 7443, policy)).toEqual({ kind: 'denied', why: 'router' });
  }
  expect(decideAddress('192.168.7.7', 8099, policy)).toEqual({ kind: 'denied', why: 'own-listener' });
  expect(decideAddress('198.51.100.9', 8099, policy).kind).toBe('allowed');
  expect(decideAddress('127.0.0.1', 22, policy).kind).toBe('allowed');
});

test('no text makes it throw, and what it allows is canonical and judged the same again', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string()), fc.boolean(), (address, all) => {
      const policy = all ? everything : open;
      const decision = decideAddress(address, 22, policy);
      if (decision.kind === 'allowed') expect(decideAddress(decision.address, 22, policy)).toEqual(decision);
    }),
    { numRuns: 2_000 },
  );
});
