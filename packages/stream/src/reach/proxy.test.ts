import { PamError } from '@sallyport/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { connectRequest } from './connect-request.ts';
import { readProxy } from './proxy.ts';
import { directReach, proxyFor, readReach } from './reach.ts';

test.each([
  ['http://proxy.example:3128', { secure: false, host: 'proxy.example', port: 3_128, authorization: null }],
  ['proxy.example:3128', { secure: false, host: 'proxy.example', port: 3_128 }],
  ['proxy.example', { port: 80 }],
  ['https://proxy.example', { secure: true, port: 443 }],
  ['http://[fd00::1]:8080/', { host: 'fd00::1', port: 8_080, shown: 'http://[fd00::1]:8080' }],
  ['HTTP://PROXY.example:8080', { host: 'proxy.example' }],
  ['http://anna:p%40ss%3Aword@proxy:1', { authorization: `Basic ${btoa('anna:p@ss:word')}`, shown: 'http://proxy:1' }],
])('reads %s', (text, proxy) => {
  expect(readProxy(text, 'HTTPS_PROXY')).toMatchObject(proxy);
});

test.each([
  'socks5://anna:hunter2@proxy:1080',
  'http://anna:hunter2%zz@proxy:1',
  'http://anna:hunter2%0d%0aX@proxy:1',
  'http://an%3Ana:hunter2@proxy:1',
  'http://anna:hunter2@:1',
  'http://anna:hunter2@proxy:0',
  'http://anna:hunter2@proxy:99999',
  `http://anna:hunter2@${'x'.repeat(3_000)}`,
])('refuses %s, and does not say the password', (text) => {
  let error: unknown;
  try {
    readProxy(text, 'HTTPS_PROXY');
  } catch (reason) {
    error = reason;
  }
  expect(error).toBeInstanceOf(PamError);
  const { code, message, remedy, detail } = error as PamError;
  expect(code).toBe('PAM_CONFIG_INVALID');
  expect(JSON.stringify([message, remedy, detail])).not.toContain('hunter2');
});

test('nothing that is shown of a proxy holds its user or password', () => {
  const word = fc.string({ unit: fc.constantFrom(...'qzjxkv0123456789'.split('')), minLength: 8, maxLength: 20 });
  fc.assert(
    fc.property(word, word, fc.domain(), (user, password, host) => {
      const { shown } = readProxy(`http://${user}:${password}@${host}:3128`, 'HTTPS_PROXY');
      expect(shown).toBe(`http://${host.toLowerCase()}:3128`);
    }),
  );
});

test('--proxy comes before the environment, lower case before upper, and none is none', () => {
  const environment = { HTTPS_PROXY: 'http://upper:1', https_proxy: 'http://lower:2', NO_PROXY: 'inside.example' };
  expect(readReach(undefined, environment).proxy?.shown).toBe('http://lower:2');
  expect(readReach(undefined, { HTTPS_PROXY: 'http://upper:1', https_proxy: '' }).proxy?.shown).toBe('http://upper:1');
  expect(readReach('http://own:3', environment).proxy).toMatchObject({ shown: 'http://own:3', from: '--proxy' });
  expect(readReach('none', environment).proxy).toBeNull();
  expect(readReach(undefined, {}).proxy).toBeNull();
  const reach = readReach('http://own:3', environment);
  expect(proxyFor(reach, { host: 'pam.inside.example', port: 1 })).toBeNull();
  expect(proxyFor(reach, { host: 'pam.example', port: 1 })?.shown).toBe('http://own:3');
  expect(proxyFor(directReach, { host: 'pam.example', port: 1 })).toBeNull();
});

test('asks for the router by one request that names it twice', () => {
  const text = Buffer.from(connectRequest({ host: 'pam.example', port: 7_443 }, 'Basic eA==')).toString('latin1');
  expect(text).toBe(
    'CONNECT pam.example:7443 HTTP/1.1\r\nHost: pam.example:7443\r\nUser-Agent: sallyport\r\nProxy-Authorization: Basic eA==\r\n\r\n',
  );
  expect(Buffer.from(connectRequest({ host: 'fd00::1', port: 1 }, null)).toString()).toMatch(
    /^CONNECT \[fd00::1\]:1 HTTP/,
  );
});

test('no name of a router can add a line to the request', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), fc.integer({ min: 1, max: 65_535 }), (host, port) => {
      let lines: string[];
      try {
        lines = Buffer.from(connectRequest({ host, port }, null)).toString('latin1').split('\r\n');
      } catch (reason) {
        expect(reason).toMatchObject({ code: 'PAM_CONFIG_INVALID' });
        return;
      }
      expect(lines).toHaveLength(5);
      expect(lines.join('')).toMatch(/^[ -~]+$/);
    }),
  );
  for (const host of ['a\r\nX: y', 'a b', 'a\nb', '', 'a/b', 'a@b', 'ä.example']) {
    expect(() => connectRequest({ host, port: 1 }, null)).toThrow(/holds letters/);
  }
});
