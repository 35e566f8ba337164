import { honestInstallation, joinConfigOf } from '@sallyport/testkit';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { flipCharacter, refusedWith, throwsOnlyPamError } from '../../test/refusals.ts';
import { decodeJoinConfig, encodeJoinConfig, toKubernetesSecret } from './config.ts';
import { newSetupCode, parseSetupCode } from './setup-code.ts';
import { parseHostPort } from './text.ts';
import { formatToken, newToken, openTokenBlob, parseToken, tokenLookup } from './token.ts';

const honest = await honestInstallation(1_800_000_000);
const config = await joinConfigOf(honest, ['pam.example:7443', '[2001:db8::1]:7443']);
const other = await joinConfigOf(honest, ['pam.example:7443'], honest.otherPool);
const text = encodeJoinConfig(config);
const json = JSON.stringify(config);
const decode = (value: string) => refusedWith(() => decodeJoinConfig(value));

test('a configuration is read in every form in which people paste it', async () => {
  const folded = text.replaceAll(/.{76}/g, '$&\n');
  const url = text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  for (const form of [text, `\n  ${text}\n`, folded, url, json, JSON.stringify(config, null, 2)]) {
    expect(await decodeJoinConfig(form)).toEqual(config);
  }
});

test('[L1] a configuration holds both pool keys and no key of the application', () => {
  expect(Object.keys(config).sort()).toEqual(
    ['anchor', 'app', 'boxKey', 'floor', 'gateway', 'pins', 'routers', 'signKey', 'v'].sort(),
  );
});

const without = (name: string) => JSON.stringify({ ...config, [name]: undefined });
test.each([
  ['nothing', '  ', 'empty'],
  ['a value cut off in the middle', text.slice(0, 400), 'truncated'],
  ['a value that lost its last characters', text.slice(0, -6), 'truncated'],
  ['JSON that was cut off', json.slice(0, -10), 'truncated'],
  ['something else', 'hello, world!', 'encoding'],
  ['bytes that are no text', Buffer.from([0xff, 0xfe, 0xfd, 0xc0]).toString('base64'), 'encoding'],
  ['base64 of something else', Buffer.from('hello').toString('base64'), 'json'],
  ['a later version', JSON.stringify({ ...config, v: 2 }), 'version'],
  ['a field too many', JSON.stringify({ ...config, appKey: 'x' }), 'field'],
  ['no routers', JSON.stringify({ ...config, routers: [] }), 'field'],
  ['a router without a port', JSON.stringify({ ...config, routers: ['pam.example'] }), 'field'],
  ['no gateway', without('gateway'), 'field'],
  ['no floor', without('floor'), 'field'],
  ['no version', without('v'), 'field'],
  ['the wrong private half', JSON.stringify({ ...config, signKey: { ...config.signKey, d: other.signKey.d } }), 'keys'],
  ['the wrong public half', JSON.stringify({ ...config, boxKey: { ...other.boxKey, d: config.boxKey.d } }), 'keys'],
  ['too much', 'A'.repeat(16_385), 'size'],
])('%s is refused as such', async (_what, value, why) => {
  expect(await decode(value)).toBe(`PAM_JOIN_CONFIG_INVALID ${why}`);
});

test('the message about a missing field names it', async () => {
  await expect(decodeJoinConfig(without('anchor'))).rejects.toThrow("no valid field 'anchor'");
});

test('garbage, cut and mutated configurations never throw anything but PamError', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 300 }),
        fc.json(),
        fc.nat(text.length - 1).map((cut) => text.slice(0, cut)),
        fc
          .tuple(fc.nat(json.length - 1), fc.string({ maxLength: 3 }))
          .map(([at, word]) => json.slice(0, at) + word + json.slice(at + 1)),
      ),
      (value) => throwsOnlyPamError(() => decodeJoinConfig(value)),
    ),
    { numRuns: 200 },
  );
});

test('the Kubernetes manifest carries the value, and only under a name Kubernetes takes', async () => {
  expect(toKubernetesSecret(config, 'dc1.pool')).toContain(`  GATEWAY_CONFIG: ${text}\n`);
  expect(await refusedWith(() => toKubernetesSecret(config, 'x\n  y: z'))).toBe('PAM_USAGE');
});

test('a token opens its own configuration, and its lookup is all that is sent', async () => {
  const token = await newToken();
  const blob = await token.seal(config);
  expect(await openTokenBlob(token.token, blob)).toEqual(config);
  expect(await tokenLookup(token.token)).toBe(token.lookup);
  expect(token.lookup).not.toBe(token.token);
  expect(blob).not.toContain(token.token);
});

test('[C1] the lookup of a token, which the router knows, does not open its blob', async () => {
  const token = await newToken();
  const blob = await token.seal(config);
  expect(await refusedWith(() => openTokenBlob(token.lookup, blob))).toBe('PAM_TOKEN_INVALID key');
});

test('another blob, a flipped one and another kind are refused', async () => {
  const [one, two] = [await newToken(), await newToken()];
  const blob = await one.seal(config);
  expect(await refusedWith(async () => openTokenBlob(one.token, await two.seal(other)))).toBe('PAM_TOKEN_INVALID key');
  expect(await refusedWith(() => openTokenBlob(one.token, flipCharacter(blob, 3)))).toBe('PAM_TOKEN_INVALID key');
  expect(await refusedWith(() => openTokenBlob(one.token, 'x'))).toBe('PAM_TOKEN_INVALID form');
  expect(await refusedWith(() => openTokenBlob(one.token, honest.wraps[0]?.wrap ?? ''))).toBe(
    'PAM_TOKEN_INVALID header',
  );
});

test('a token is read with and without a port, for names, IPv4 and IPv6', async () => {
  const { token } = await newToken();
  const read = (host: string) => parseToken(`  ${host}:${token}\n`);
  expect(read('pam.example')).toEqual({ host: 'pam.example', port: 7443, token });
  expect(read('10.0.0.1:8443')).toEqual({ host: '10.0.0.1', port: 8443, token });
  expect(read('[2001:db8::1]:8443')).toEqual({ host: '2001:db8::1', port: 8443, token });
  expect(read('[::1]')).toEqual({ host: '::1', port: 7443, token });
  for (const place of [
    ['pam.example', 7443],
    ['::1', 8443],
  ] as const) {
    expect(parseToken(formatToken(place[0], place[1], token))).toEqual({ host: place[0], port: place[1], token });
  }
});

test.each([
  ['pam.example:abc', 'truncated'],
  ['pam.example:', 'truncated'],
  ['t'.repeat(43), 'host'],
  [`:${'t'.repeat(42)}A`, 'host'],
  [`a b:${'t'.repeat(42)}A`, 'host'],
  [`pam.example:99999:${'t'.repeat(42)}A`, 'host'],
  [`pam.example:${'t'.repeat(44)}`, 'form'],
  [`pam.example:${'t'.repeat(42)}!`, 'form'],
  ['x'.repeat(401), 'form'],
])('the token %s is refused as %s', async (value, why) => {
  expect(await refusedWith(() => parseToken(value))).toBe(`PAM_TOKEN_INVALID ${why}`);
});

test('router addresses are HOST:PORT and nothing else', () => {
  for (const good of ['a:1', 'pam.example:65535', '[::1]:7443', '127.0.0.1:80'])
    expect(parseHostPort(good)).toBeDefined();
  for (const bad of ['', 'a', 'a:', ':1', 'a:0', 'a:65536', '::1:7443', 'a b:1', 'http://a:1', '[x]:1']) {
    expect(parseHostPort(bad)).toBeUndefined();
  }
});

test('a setup code gives secret and pin, and says what is wrong with it otherwise', async () => {
  const made = await newSetupCode(honest.router.pin);
  expect(made.code).toMatch(/^[A-Za-z][\w-]{66}$/);
  const spaced = made.code.replaceAll(/.{10}/g, '$& ');
  expect(await parseSetupCode(spaced)).toEqual({ secret: made.secret, pin: honest.router.pin });
  const parse = (code: string) => refusedWith(() => parseSetupCode(code));
  expect(await parse(made.code.slice(0, -1))).toBe('PAM_SETUP_CODE_INVALID truncated');
  expect(await parse(flipCharacter(made.code, 0, 20))).toBe('PAM_SETUP_CODE_INVALID mistyped');
  expect(await parse(`${made.code}x`)).toBe('PAM_SETUP_CODE_INVALID form');
  expect(await parse('x'.repeat(600))).toBe('PAM_SETUP_CODE_INVALID form');
});
