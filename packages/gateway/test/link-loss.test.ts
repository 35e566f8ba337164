import { afterEach, expect, test } from 'vitest';
import { type Lab, localPair, roundTrip, startLab } from './lab/lab.ts';
import { newTicket } from './lab/scripted-router.ts';

let lab: Lab;
afterEach(async () => {
  await lab.close();
});
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((turn) => setTimeout(turn, 5));
}

test('a stream survives the loss of the control link, is named in the next hello, and its end is reported then', async () => {
  lab = await startLab();
  const dispatched = await lab.dispatch();
  const opening = await lab.open(dispatched);
  if (opening.kind !== 'opened') return expect.unreachable();
  const { local, user } = await localPair();
  const spliced = opening.stream.splice(local, new AbortController().signal);
  user.write('before');
  await new Promise((got) => user.once('data', got));
  const again = lab.router.nextLink();
  lab.link.cut();
  user.write('while');
  expect(String(await new Promise((got) => user.once('data', got)))).toBe('while');
  const hello = await (await again).hello;
  expect(hello.streams).toEqual([dispatched.claims.stream]);
  user.end();
  user.resume();
  expect((await spliced).reason).toBe('client-closed');
  await until(() => lab.router.events.flatMap(({ events }) => events).some(({ event }) => event === 'ended'));
  const [ended] = lab.router.events.flatMap(({ events }) => events).filter(({ event }) => event === 'ended');
  expect(ended).toMatchObject({
    stream: dispatched.claims.stream,
    reason: 'client-closed',
    bytesUp: 11,
    bytesDown: 11,
  });
});

test('a dispatch bound to a leg dialled ahead uses that leg and opens no other', async () => {
  lab = await startLab();
  const park = newTicket();
  lab.link.notify('leg.park', { tickets: [park] });
  await lab.router.whenParked(park);
  const legs = lab.router.legs.length;
  let bound: Promise<void> = Promise.resolve();
  const dispatched = await lab.dispatch({
    parked: true,
    before: async (ticket) => {
      bound = lab.router.bind(park, ticket);
      await bound;
    },
  });
  expect(dispatched.result).toEqual({ kind: 'accepted' });
  expect(await roundTrip(await lab.open(dispatched), 'ahead')).toBe('ahead');
  expect(lab.router.legs.slice(legs).filter((role) => role === 'instance')).toEqual(['instance']);
});

test('a dispatch said to be bound whose leg never comes is served by a leg of its own', async () => {
  lab = await startLab();
  const dispatched = await lab.dispatch({ parked: true });
  expect(await roundTrip(await lab.open(dispatched), 'own')).toBe('own');
});

test('a drain lets running streams end within its deadline and refuses new ones as draining', async () => {
  lab = await startLab();
  const dispatched = await lab.dispatch();
  const opening = await lab.open(dispatched);
  if (opening.kind !== 'opened') return expect.unreachable();
  const { local, user } = await localPair();
  const spliced = opening.stream.splice(local, new AbortController().signal);
  lab.instance.drain(60_000);
  expect((await lab.dispatch()).result).toMatchObject({ kind: 'refused', class: 'draining' });
  user.end('last words');
  user.resume();
  expect((await spliced).reason).toBe('client-closed');
  expect(await lab.instance.left).toBe('drained');
  expect(lab.router.byes).toEqual(['drained']);
});

test('hurrying a drain resets what runs', async () => {
  lab = await startLab();
  const opening = await lab.open(await lab.dispatch());
  if (opening.kind !== 'opened') return expect.unreachable();
  const { local, user } = await localPair();
  const reset = new Promise((seen) => user.on('error', seen));
  const spliced = opening.stream.splice(local, new AbortController().signal);
  lab.instance.drain(60_000);
  lab.instance.hurry();
  await Promise.all([lab.instance.left, spliced]);
  expect(await reset).toMatchObject({ code: 'ECONNRESET' });
});
