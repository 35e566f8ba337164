import {
  gatewayUidSchema,
  itemUidSchema,
  networkConfigurationFactsSchema,
  PamError,
  switchSchema,
  factsSchemas,
} from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { decideTunnel, type TunnelQuestion, type TunnelTarget } from './decide-tunnel.ts';

const gateway = gatewayUidSchema.parse('Gaaaaaaaaaaaaaaaaaaaaa');
const configurationUid = itemUidSchema.parse('Caaaaaaaaaaaaaaaaaaaaa');

function question(record: object, configuration: object, options: TunnelQuestion['options'] = {}): TunnelQuestion {
  const resource = factsSchemas.pamMachine.parse({
    title: 'r',
    host: 'db.internal',
    port: 22,
    configuration: configurationUid,
    ...record,
  });
  const facts = { title: 'c', gateway, networks: ['10.0.0.0/8'], ...configuration };
  return { gateway, resource, configurationUid, configuration: networkConfigurationFactsSchema.parse(facts), options };
}
function decide(asked: TunnelQuestion): TunnelTarget | string {
  try {
    return decideTunnel(asked);
  } catch (reason) {
    return reason instanceof PamError ? reason.code : 'foreign';
  }
}

test('the configuration is the ceiling: a record can switch off what it allows, never on what it does not', () => {
  for (const record of switchSchema.options)
    for (const configuration of ['on', 'off']) {
      const isOn = configuration === 'on' && record !== 'off';
      const answer = decide(
        question({ permissions: { tunneling: record } }, { permissions: { tunneling: configuration } }),
      );
      expect(typeof answer === 'object').toBe(isOn);
      if (!isOn) expect(answer).toBe('PAM_PERMISSION_OFF');
    }
});

test('a configuration that says nothing is off', () => {
  expect(decide(question({}, {}))).toBe('PAM_PERMISSION_OFF');
});

test('another permission switched on opens no tunnel', () => {
  expect(
    decide(question({ permissions: { connections: 'on', rotation: 'on' } }, { permissions: { connections: 'on' } })),
  ).toBe('PAM_PERMISSION_OFF');
});

test("host and port are the record's, or the supplied ones where the record allows it, and then only inside the networks", () => {
  const on = { permissions: { tunneling: 'on' } };
  expect(decide(question({}, on))).toEqual({
    host: 'db.internal',
    port: 22,
    networks: ['10.0.0.0/8'],
    onlyInside: false,
  });
  expect(decide(question({}, on, { host: '10.0.0.9' }))).toBe('PAM_TARGET_NOT_ALLOWED');
  expect(decide(question({}, on, { port: 23 }))).toBe('PAM_TARGET_NOT_ALLOWED');
  expect(decide(question({ allowSupplyHost: true }, on, { host: '10.0.0.9' }))).toMatchObject({
    host: '10.0.0.9',
    port: 22,
    onlyInside: true,
  });
  expect(decide(question({ allowSupplyHost: true }, on, { port: 23 }))).toMatchObject({
    host: 'db.internal',
    port: 23,
    onlyInside: true,
  });
});
