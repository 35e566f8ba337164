import { expect, test } from 'vitest';
import { createApiClient, dpopHeaders, errorOf } from '../support/api-client.ts';
import { claim, prepareSetup } from '../support/operator.ts';
import { freshRouter } from '../support/router.ts';

test('a router is claimed once, with the code it printed, and then knows its owner', async () => {
  const router = await freshRouter();
  const client = createApiClient(router.port);
  expect((await client.ask({ method: 'GET', path: '/v1/info' })).body).toMatchObject({
    product: 'sallyport',
    claimed: false,
  });
  const anna = await claim(router);
  expect((await client.ask({ method: 'GET', path: '/v1/info' })).body).toMatchObject({ claimed: true });
  expect((await anna.call('GET', '/v1/me')).body).toMatchObject({
    name: 'anna',
    person: anna.person,
    deviceInLog: true,
  });
  expect((await anna.call('GET', '/v1/log')).body).toEqual({ entries: anna.entries(), head: anna.log().head });
  await expect(prepareSetup(router, 'eve')).rejects.toThrow('PAM_ROUTER_CLAIMED');
  anna.close();
  client.close();
});

test('a setup with a bent body is refused and leaves the code good', async () => {
  const router = await freshRouter();
  const { body, operator } = await prepareSetup(router);
  const path = '/v1/setup/finish';
  const send = async (bent: Record<string, unknown>, device = operator.device) =>
    operator.ask({ method: 'POST', path, body: bent, headers: await dpopHeaders({ method: 'POST', path }, device) });
  expect(errorOf(await send({ ...body, name: 'eve' })).code).toBe('PAM_TRUST_ENTRY_INVALID');
  expect(errorOf(await send({ ...body, secret: 'A'.repeat(22) })).code).toBe('PAM_SETUP_CODE_INVALID');
  expect(errorOf(await send({ ...body, entries: [operator.entries()[0], operator.entries()[0]] })).code).toBe(
    'PAM_TRUST_ENTRY_INVALID',
  );
  expect(errorOf(await send(body, operator.personKey)).code).toBe('PAM_TRUST_ENTRY_INVALID');
  expect(errorOf(await operator.ask({ method: 'POST', path, body })).code).toBe('PAM_PROOF_INVALID');
  expect((await send(body)).status).toBe(200);
  expect(errorOf(await send(body)).code).toBe('PAM_ROUTER_CLAIMED');
  operator.close();
});
