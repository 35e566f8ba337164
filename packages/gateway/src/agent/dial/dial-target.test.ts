import type { Socket } from 'node:net';
import { PamError } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import type { AddressPolicy } from './address-policy.ts';
import { type DialDeps, dialTarget, dialWithinMs } from './dial-target.ts';

const policy: AddressPolicy = { networks: ['10.0.0.0/8'], onlyInside: false, never: [], localAddresses: [] };
const nodeError = (code: string): Error => Object.assign(new Error(code), { code });

interface Play extends DialDeps {
  readonly asked: string[];
  readonly dialled: string[];
  fireTimer: () => void;
  timers: number;
}
/** A resolver that answers from `answers` in turn, and a network whose addresses answer as `hosts` says (a code, or open). */
function play(answers: readonly (readonly string[])[], hosts: Record<string, string> = {}): Play {
  const asked: string[] = [];
  const dialled: string[] = [];
  const deps: Play = {
    asked,
    dialled,
    timers: 0,
    fireTimer: () => expect.unreachable('no timer was set'),
    resolve: async (name) => {
      asked.push(name);
      const answer = answers[asked.length - 1] ?? [];
      if (answer[0]?.startsWith('E') === true) throw nodeError(answer[0]);
      return answer;
    },
    connect: async (address, _port, signal) => {
      dialled.push(address);
      const how = hosts[address] ?? 'open';
      if (how === 'silent')
        return await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      if (how !== 'open') throw nodeError(how);
      return {} as Socket;
    },
    schedule: (ms, fn) => {
      expect(ms).toBe(dialWithinMs);
      deps.timers += 1;
      deps.fireTimer = fn;
      return () => {
        deps.timers -= 1;
      };
    },
  };
  return deps;
}
const dial = (host: string, deps: DialDeps, signal = new AbortController().signal) =>
  dialTarget({ host, port: 22, policy }, deps, signal);
const codeOf = async (run: Promise<unknown>): Promise<string> =>
  run.then(
    () => 'opened',
    (reason: unknown) => (reason instanceof PamError ? reason.code : 'foreign'),
  );

test('a name is resolved once and the address that was judged is the one dialled', async () => {
  const deps = play([['8.8.8.8'], ['127.0.0.1']]);
  expect((await dial('rebind.example', deps)).address).toBe('8.8.8.8');
  expect(deps.asked).toEqual(['rebind.example']);
  expect(deps.dialled).toEqual(['8.8.8.8']);
});

test('a name that answers public first and private afterwards never reaches the private address', async () => {
  const deps = play([['8.8.8.8'], ['192.168.0.1']], { '8.8.8.8': 'ECONNREFUSED' });
  expect(await codeOf(dial('rebind.example', deps))).toBe('PAM_TARGET_REFUSED');
  expect(deps.asked).toHaveLength(1);
  expect(deps.dialled).toEqual(['8.8.8.8']);
});

test('of one answer with allowed and denied addresses only the allowed are dialled', async () => {
  const deps = play([['169.254.169.254', '192.168.0.1', '::1', '10.0.0.7']]);
  expect((await dial('mixed.example', deps)).address).toBe('10.0.0.7');
  expect(deps.dialled).toEqual(['10.0.0.7']);
});

test.each([
  '127.1',
  '0',
  '2852039166',
  '0x7f000001',
  '::ffff:169.254.169.254',
  '64:ff9b::a9fe:a9fe',
  '127.0.0.1',
  '::1',
  'fe80::1%eth0',
  '[::1]',
])('%s is not allowed, with no lookup and no connection', async (host) => {
  const deps = play([['8.8.8.8']]);
  expect(await codeOf(dial(host, deps))).toBe('PAM_TARGET_NOT_ALLOWED');
  expect(deps.asked).toEqual([]);
  expect(deps.dialled).toEqual([]);
});

test('a name with only denied addresses is not allowed', async () => {
  const deps = play([['127.0.0.1', '::1']]);
  expect(await codeOf(dial('LOCALHOST.', deps))).toBe('PAM_TARGET_NOT_ALLOWED');
  expect(deps.asked).toEqual(['localhost']);
  expect(deps.dialled).toEqual([]);
});

test("the next checked address is tried, and the target's own word is the one reported", async () => {
  const deps = play([['10.0.0.1', '10.0.0.2', '10.0.0.3']], { '10.0.0.1': 'EHOSTUNREACH', '10.0.0.2': 'ECONNREFUSED' });
  expect((await dial('three.example', deps)).address).toBe('10.0.0.3');
  const none = play([['10.0.0.1', '10.0.0.2', '10.0.0.3']], {
    '10.0.0.1': 'ECONNREFUSED',
    '10.0.0.2': 'ENETUNREACH',
    '10.0.0.3': 'ETIMEDOUT',
  });
  expect(await codeOf(dial('three.example', none))).toBe('PAM_TARGET_REFUSED');
});

test.each([
  ['ENOTFOUND', 'PAM_TARGET_NAME_UNKNOWN'],
  ['EAI_AGAIN', 'PAM_TARGET_UNREACHABLE'],
])('a lookup that fails with %s is %s', async (code, expected) => {
  expect(await codeOf(dial('gone.example', play([[code]])))).toBe(expected);
});
test('a name without addresses is an unknown name', async () => {
  expect(await codeOf(dial('empty.example', play([[]])))).toBe('PAM_TARGET_NAME_UNKNOWN');
});
test.each([
  ['ECONNREFUSED', 'PAM_TARGET_REFUSED'],
  ['ETIMEDOUT', 'PAM_TARGET_TIMEOUT'],
  ['EHOSTUNREACH', 'PAM_TARGET_UNREACHABLE'],
  ['EACCES', 'PAM_TARGET_UNREACHABLE'],
])('a connection that fails with %s is %s', async (code, expected) => {
  expect(await codeOf(dial('10.0.0.1', play([], { '10.0.0.1': code })))).toBe(expected);
});

test('a silent target is a timeout, and neither timer nor listener stays behind', async () => {
  const deps = play([], { '10.0.0.1': 'silent' });
  const running = codeOf(dial('10.0.0.1', deps));
  await Promise.resolve();
  deps.fireTimer();
  expect(await running).toBe('PAM_TARGET_TIMEOUT');
  expect(deps.timers).toBe(0);
});

test('aborting ends a dial at once', async () => {
  const controller = new AbortController();
  const deps = play([], { '10.0.0.1': 'silent' });
  const running = codeOf(dial('10.0.0.1', deps, controller.signal));
  await Promise.resolve();
  controller.abort(new PamError('PAM_INTERRUPTED', 'stopped'));
  expect(await running).toBe('PAM_INTERRUPTED');
  expect(deps.timers).toBe(0);
});
