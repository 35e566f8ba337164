import { join } from 'node:path';
import type { Decision, GatewayView, StreamId } from '@sallyport/protocol';
import { createCleanup, startChild } from '@sallyport/testkit';
import { afterAll, expect, test } from 'vitest';
import { claim, installation, uid } from '../support/operator.ts';
import { freshRouter } from '../support/router.ts';
import { member, type ScriptedInstance } from '../support/scripted-instance.ts';

const cleanup = createCleanup();
afterAll(() => cleanup.run());

const streams = 256;
const bytesEach = 2_097_152;

/**
 * F3: data must not starve the beats. The relay is a process of its own and the legs' ends are in another, as in life;
 * the members' beats go over the real control link. Twice the usual times, because this machine may be busy with other
 * things: what starved in a trial stood still for longer than that.
 */
test('256 bulk streams through the relay make nobody suspect and no dispatch hedge', { timeout: 240_000 }, async () => {
  const router = await freshRouter({ timing: { suspectMs: 2_000, cutMs: 10_000, hedgeMs: 1_000 } });
  const anna = await claim(router);
  const { machine, config, pool } = await installation(anna);
  const members: ScriptedInstance[] = [];
  for (let i = 0; i < 3; i++) members.push(await member(router, anna, pool));
  cleanup.later(() => {
    for (const instance of members) instance.close();
    anna.close();
  });
  const pump = startChild(cleanup.later, process.execPath, [
    join(import.meta.dirname, 'bulk-legs.ts'),
    String(router.port),
    String(bytesEach),
  ]);
  const states = new Set<string>();
  const decisions: Decision[] = [];

  async function route(session: string): Promise<{ client: string; instance: string }> {
    const stream = uid<StreamId>();
    const revs = { [machine.uid]: 1, [config.uid]: 1 };
    const of = { gateway: pool.gateway, session: session as never, stream, resource: machine.uid, revs };
    const request = await anna.request(of);
    const answer = await anna.call('POST', `/v1/sessions/${session}/streams`, { stream, request, not: [] });
    const { ticket, instance } = answer.body as { ticket: string; instance: string };
    const picked = members.find((each) => each.identity.id === instance);
    await picked?.opened(stream);
    const own = picked?.dispatched.find((each) => each.stream === stream)?.ticket ?? '';
    return { client: ticket, instance: own };
  }
  async function look(session: string): Promise<void> {
    const { gateways } = await anna.must<{ gateways: GatewayView[] }>('GET', '/v1/gateways');
    for (const instance of gateways[0]?.instances ?? []) states.add(`${instance.state} ${instance.health}`);
    const why = await anna.must<{ streams: { decisions: Decision[] }[] }>('GET', `/v1/sessions/${session}/why`);
    decisions.push(...why.streams.flatMap((one) => one.decisions));
  }

  let session = '';
  for (let n = 0; n < streams; n++) {
    // A session explains its latest 50 streams.
    if (n % 40 === 0) {
      if (n > 0) await look(session);
      session = await anna.newSession(pool.gateway, machine.uid);
    }
    pump.write(`${JSON.stringify(await route(session))}\n`);
  }
  const isDone = pump.waitForLine(new RegExp(`^(done ${streams}|failed .*)$`), { withinMs: 180_000 });
  let over = false;
  void isDone.finally(() => {
    over = true;
  });
  while (!over) {
    await route(session);
    await look(session);
  }
  expect((await isDone)[1]).toBe(`done ${streams}`);
  await look(session);
  expect([...states]).toEqual(['ready ok']);
  expect(decisions.length).toBeGreaterThan(streams);
  expect(new Set(decisions.map((decision) => decision.cause))).toEqual(new Set(['first']));
});
