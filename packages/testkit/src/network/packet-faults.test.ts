import { expect, test } from 'vitest';
import { loss, oneWay, rulesetOf, silence } from './packet-faults.ts';

test('faults become one transaction that replaces all before', () => {
  const text = rulesetOf([
    ...loss(30, '10.77.0.1'),
    oneWay('out', '10.77.0.2'),
    { kind: 'reset', direction: 'in' },
    { kind: 'unreachable', direction: 'out', peer: '10.77.0.3' },
  ]);
  expect(text.split('\n')).toEqual([
    'table inet sallyport',
    'delete table inet sallyport',
    'table inet sallyport {',
    'chain in {',
    'type filter hook input priority 0;',
    'iifname "eth0" ip saddr 10.77.0.1 numgen random mod 100 < 30 drop',
    'iifname "eth0" meta l4proto tcp reject with tcp reset',
    '}',
    'chain out {',
    'type filter hook output priority 0;',
    'oifname "eth0" ip daddr 10.77.0.1 numgen random mod 100 < 30 drop',
    'oifname "eth0" ip daddr 10.77.0.2 drop',
    'oifname "eth0" ip daddr 10.77.0.3 meta nfproto ipv4 reject with icmp type host-unreachable',
    '}',
    '}',
    '',
  ]);
});

test('no fault leaves two chains without a rule', () => {
  expect(rulesetOf([])).not.toMatch(/drop|reject/);
});

test.each([() => silence('10.77.0.1; flush ruleset'), () => loss(0), () => loss(101), () => loss(1.5)])(
  'what is no address and no percentage never reaches nft',
  (faults) => expect(() => rulesetOf(faults())).toThrow(/IPv4 address|percent/),
);
