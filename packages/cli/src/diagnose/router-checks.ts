import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { getInfo, PamError, protocolRange } from '@sallyport/protocol';
import { dialRouter, proxyFor, type Reach } from '@sallyport/stream';
import type { z } from 'zod';
import { type Address, formatAddress, parseAddress } from '../api/address.ts';
import { pinnedTransport } from '../api/pinned-transport.ts';
import { reachOf } from '../api/reach-of.ts';
import { clockSkew } from '../api/router-client.ts';
import type { HttpReply } from '../api/transport.ts';
import type { Cli } from '../cli.ts';
import { openProfile } from '../person/signed-in.ts';
import { ageText } from '../terminal/show.ts';
import type { Checklist, Finding } from './check.ts';

const connectMs = 5_000;
/** Over this the router refuses what this device signs. */
const skewRefusedMs = 30_000;
const skewNotedMs = 5_000;

interface Timed extends HttpReply {
  readonly sentAtMs: number;
  readonly cameAtMs: number;
}

/** Profile, sign-in, name, port, key, answer and clock of the router. Nothing here needs a sign-in. */
export async function checkRouter(cli: Cli, list: Checklist): Promise<boolean> {
  const found = await list.run('profile', 'profile', [], async () => {
    const opened = await openProfile(cli);
    return { text: `“${opened.store.name}”, router ${opened.profile.router}`, value: opened };
  });
  const signIn = await list.run('sign-in', 'sign-in', [found], async () => {
    const file = (await found?.store.readSignIn()) ?? null;
    const name = found?.profile.person.name ?? '';
    if (file === null) throw new PamError('PAM_NOT_SIGNED_IN', 'nobody is signed in');
    const leftMs = file.expiresAtMs - cli.clock.nowMs();
    if (leftMs <= 0) throw new PamError('PAM_NOT_SIGNED_IN', `the sign-in of ${name} ended ${ageText(-leftMs)} ago`);
    return { text: `${name}, for another ${ageText(leftMs)}`, value: true };
  });
  const address = found === null ? null : parseAddress(found.profile.router);
  const named = await list.run('name', 'router name', [address], async () => resolveName(address, reachOf(cli)));
  const port = await list.run('port', 'router port', [named], async (signal) =>
    connectOnce(address, reachOf(cli), signal),
  );
  const reply = await list.run('key', 'router key', [port], async (signal) => {
    const sentAtMs = cli.clock.nowMs();
    const http = await askInfo(cli, address, found?.profile.pins ?? [], signal);
    return { text: 'is the pinned one', value: { ...http, sentAtMs, cameAtMs: cli.clock.nowMs() } };
  });
  const info = await list.run('api', 'router answers', [reply], async () => readInfo(reply));
  const clock = await list.run('clock', 'clock', [info], async () => {
    const { sentAtMs = 0, cameAtMs = 0 } = reply ?? {};
    return compareClocks((sentAtMs + cameAtMs) / 2 - (info?.timeMs ?? 0));
  });
  return [signIn, info, clock].every((one) => one !== null);
}

async function resolveName(address: Address | null, reach: Reach): Promise<Finding<boolean>> {
  const host = address?.host ?? '';
  const proxy = address === null ? null : proxyFor(reach, address);
  if (proxy !== null) return { text: `${host} is looked up by the proxy ${proxy.shown} (${proxy.from})`, value: true };
  if (isIP(host) !== 0) return { text: `${host} is an address`, value: true };
  try {
    const answers = await lookup(host, { all: true });
    return { text: `${host} is ${answers.map((one) => one.address).join(', ')}`, value: true };
  } catch (reason) {
    throw new PamError('PAM_ROUTER_UNREACHABLE', `${host} does not resolve`, {
      cause: reason,
      remedy: 'Check the name server of this machine, and the address with pam whoami.',
    });
  }
}

async function connectOnce(address: Address | null, reach: Reach, signal: AbortSignal): Promise<Finding<boolean>> {
  const wanted = address ?? { host: '', port: 0 };
  const socket = await dialRouter({ address: wanted, reach, withinMs: connectMs, halfOpen: false, signal });
  socket.destroy();
  const proxy = proxyFor(reach, wanted);
  const way = proxy === null ? '' : `, through the proxy ${proxy.shown}`;
  return { text: `${formatAddress(wanted)} accepts${way}`, value: true };
}

async function askInfo(cli: Cli, address: Address | null, pins: readonly string[], signal: AbortSignal) {
  const transport = pinnedTransport(address ?? { host: '', port: 0 }, pins, {
    clock: cli.clock,
    reach: reachOf(cli),
  });
  try {
    return await transport.send({ method: 'GET', path: '/v1/info', headers: {}, body: null, signal });
  } finally {
    transport.close();
  }
}

type Info = z.infer<typeof getInfo.reply>;

function readInfo(reply: Timed | null): Finding<Info> {
  const { status = 0, body = '', sentAtMs = 0, cameAtMs = 0 } = reply ?? {};
  const info = getInfo.reply.safeParse(parseJson(body));
  if (status !== 200 || !info.success) {
    throw new PamError('PAM_BAD_REQUEST', `it answers ${status}, not as a router of this version does`, {
      remedy: 'Check that both are of the same version.',
    });
  }
  const { min, max } = info.data.protocol;
  if (min > protocolRange.max || max < protocolRange.min) {
    const ours = `${protocolRange.min} to ${protocolRange.max}`;
    throw new PamError('PAM_VERSION_UNSUPPORTED', `it speaks protocol ${min} to ${max}, this pam ${ours}`);
  }
  if (!info.data.claimed) throw new PamError('PAM_ROUTER_NOT_CLAIMED', 'the router has no owner: it is another one');
  return { text: `version ${info.data.version}, in ${cameAtMs - sentAtMs} ms`, value: info.data };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (reason) {
    if (reason instanceof SyntaxError) return null;
    throw reason;
  }
}

/** @param aheadMs - of this machine, positive when it is ahead of the router. */
export function compareClocks(aheadMs: number): Finding<boolean> {
  if (Math.abs(aheadMs) > skewRefusedMs) throw clockSkew(aheadMs);
  if (Math.abs(aheadMs) <= skewNotedMs) return { text: 'agrees with the router', value: true };
  return {
    text: `${Math.round(Math.abs(aheadMs) / 1_000)} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the router`,
    value: true,
    warning: { text: `from ${skewRefusedMs / 1_000} s on nothing works`, remedy: 'Set the clock (NTP).' },
  };
}
