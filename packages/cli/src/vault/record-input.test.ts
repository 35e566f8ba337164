import {
  isUsableOn,
  type ItemUid,
  itemUidSchema,
  PamError,
  recordTypes,
  type ResourceFacts,
  type UserFacts,
} from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { recordTemplate } from '../commands/record-template.ts';
import { drawPassword } from './record-flags.ts';
import { draftRecord, type KnownItems, readRecordInput, usableOnResource } from './record-input.ts';
import { checkFacts } from './facts.ts';
import { freshUid, type OpenedItem } from './vault.ts';

const app = freshUid();
function item<Type extends 'pamUser' | 'pamNetworkConfiguration'>(type: Type, facts: unknown): OpenedItem<Type> {
  const uid = freshUid();
  const full = checkFacts(type, facts);
  return {
    uid,
    app,
    type,
    facts: full,
    title: full.title,
    factsRev: 1,
    author: '',
    item: {},
  } as unknown as OpenedItem<Type>;
}
const gateway = freshUid();
const known: KnownItems = {
  configurations: [item('pamNetworkConfiguration', { title: 'dc1-net', gateway, networks: ['10.0.0.0/24'] })],
  users: [item('pamUser', { title: 'root on web1', login: 'root' })],
};
const draft = (type: (typeof recordTypes)[number], json: unknown, before: Parameters<typeof draftRecord>[3] = null) =>
  draftRecord(type, readRecordInput(json), known, before, app);
const code = (wanted: string, message?: string) =>
  expect.objectContaining({
    code: wanted,
    ...(message === undefined ? {} : { message: expect.stringContaining(message) }),
  });

test.each(recordTypes)('the template of %s is accepted as it stands', (type) => {
  const made = draft(type, recordTemplate(type));
  expect(made.facts.title).toBe(recordTemplate(type)['title']);
  if (type !== 'pamUser') expect(made.credentials.map((user) => user.title)).toEqual(['root on web1']);
});

test('resolves names to UIDs and refuses what is not there', () => {
  const made = draft('pamMachine', {
    title: 'w',
    host: '10.0.0.5',
    port: 22,
    configuration: 'dc1-net',
    credentials: ['root on web1:admin'],
  });
  expect(made.facts).toMatchObject({
    configuration: known.configurations[0]?.uid,
    credentials: [{ record: known.users[0]?.uid, role: 'admin' }],
  });
  expect(() => draft('pamMachine', { title: 'w', host: 'h', port: 22, configuration: 'nope' })).toThrow(
    code('PAM_NOT_FOUND'),
  );
  expect(() => draft('pamMachine', { title: 'w', host: 'h', port: 22, credentials: ['nope'] })).toThrow(
    code('PAM_NOT_FOUND'),
  );
});

test('names the field that is wrong or unknown', () => {
  expect(() => draft('pamMachine', { title: 'w', host: 'h', port: 70_000 })).toThrow(code('PAM_USAGE', 'port'));
  expect(() => draft('pamMachine', { title: 'w', host: 'h', port: 22, colour: 'red' })).toThrow(
    code('PAM_USAGE', 'colour'),
  );
  expect(() => draft('pamMachine', { title: 'w', port: 22 })).toThrow(code('PAM_USAGE', 'host'));
  expect(() => draft('pamMachine', { title: 'w', host: 'h', port: 22, secrets: { password: 'x' } })).toThrow(
    code('PAM_USAGE'),
  );
  expect(() => draft('pamUser', { title: 'u', credentials: [] })).toThrow(code('PAM_USAGE'));
  expect(() => draft('pamMachine', { type: 'pamUser', title: 'w' })).toThrow(code('PAM_USAGE'));
  for (const bad of [null, [], 'x', 7]) expect(() => readRecordInput(bad)).toThrow(code('PAM_USAGE'));
});

test('refuses a special address outside the configuration at once', () => {
  expect(() => draft('pamMachine', { title: 'w', host: '10.9.0.5', port: 22, configuration: 'dc1-net' })).toThrow(
    code('PAM_TARGET_NOT_ALLOWED'),
  );
});

test('an edit keeps everything that is not named, secrets and custom fields included', () => {
  const facts = draft('pamMachine', {
    title: 'w',
    host: '10.0.0.5',
    port: 22,
    configuration: 'dc1-net',
    tags: ['a'],
    notes: 'n',
    custom: { k: 'v' },
    permissions: { tunneling: 'off' },
  }).facts;
  const edited = draft(
    'pamMachine',
    { port: 23, custom: { l: 'w' }, permissions: { rotation: 'on' } },
    { app, facts, secrets: null },
  ).facts;
  expect(edited).toEqual({
    ...facts,
    port: 23,
    custom: { k: 'v', l: 'w' },
    permissions: { connections: 'default', tunneling: 'off', rotation: 'on', recording: 'default' },
  });
  const user = draft('pamUser', { title: 'u', login: 'root' }).facts;
  const secrets = { password: 'old', passphrase: 'p', custom: { pin: '1' } };
  expect(draft('pamUser', { secrets: { password: 'new' } }, { app, facts: user, secrets }).secrets).toEqual({
    ...secrets,
    password: 'new',
  });
  expect(draft('pamUser', { login: 'admin' }, { app, facts: user, secrets }).secrets).toBeUndefined();
});

test('a credential is usable on exactly the endpoint that was signed', () => {
  const uid: ItemUid = itemUidSchema.parse(freshUid());
  const resource = draft('pamMachine', { title: 'w', host: 'h', port: 22 }).facts as ResourceFacts;
  const user = usableOnResource(known.users[0]?.facts as UserFacts, uid, resource);
  expect(isUsableOn(user, uid, resource)).toBe(true);
  expect(isUsableOn(user, uid, { ...resource, port: 23 })).toBe(false);
  expect(isUsableOn(user, uid, { ...resource, host: 'g' })).toBe(false);
  expect(isUsableOn(user, uid, { ...resource, serverIdentity: 'SHA256:0000000000' })).toBe(false);
  expect(isUsableOn(user, itemUidSchema.parse(freshUid()), resource)).toBe(false);
  expect(usableOnResource(user, uid, { ...resource, port: 23 }).usableOn).toHaveLength(user.usableOn.length);
});

test('a drawn password has every kind of character and never repeats', () => {
  const drawn = Array.from({ length: 50 }, () => drawPassword());
  for (const one of drawn) expect(one).toMatch(/^(?=.*[A-Z])(?=.*[a-z])(?=.*\d)(?=.*[-_.+=@%]).{24}$/);
  expect(new Set(drawn).size).toBe(50);
});

test.each([
  ['password', 'password'],
  ['privateKey', 'privatePemKey'],
  ['privatePemKey', 'privatePemKey'],
])('a secret among the fields (%s) is refused with its place, and is in no message', (field, name) => {
  for (const type of ['pamUser', 'pamMachine'] as const) {
    try {
      draft(type, { type, title: 'u', [field]: 'planted-s3cret' });
      expect.unreachable();
    } catch (reason) {
      const { code: wrong, message, remedy, detail } = PamError.from(reason, 'PAM_INTERNAL', '');
      expect([wrong, message, remedy]).toEqual([
        'PAM_USAGE',
        `“${field}” is a secret and stands among the fields`,
        expect.stringContaining(`"secrets": {"${name}": …}`),
      ]);
      expect(JSON.stringify([message, remedy, detail])).not.toContain('planted-s3cret');
    }
  }
});
