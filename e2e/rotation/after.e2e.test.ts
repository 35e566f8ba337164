import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { alertMessageSchema, errorCatalog } from '@sallyport/protocol';
import { createCleanup, requireLinuxHost, startWebhookReceiver } from '@sallyport/testkit';
import { afterAll, expect, test, vi } from 'vitest';
import { member } from '../harness/json.ts';
import { patience, until } from '../harness/until.ts';
import { startLinuxAccounts } from './accounts/linux-accounts.ts';
import { startRotatingPool } from './rotating-pool.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
const presence = await requireLinuxHost();
afterAll(() => cleanup.run());

test.skipIf(presence.isMissing)(
  'a service and scripts follow a rotation; one that fails is seen by everybody, and undoes nothing',
  async () => {
    const receiver = await startWebhookReceiver(cleanup.later);
    /** `status why` of each alert, in the order it was told. */
    const alerts = (): string[] =>
      receiver.posts
        .map(({ body }) => alertMessageSchema.parse(JSON.parse(body)))
        .map(({ status, detail }) => `${status} ${detail['why']}`);
    const lab = await startLinuxAccounts(cleanup.later);
    const { server } = lab;
    const { installation, newAccounts } = await startRotatingPool(cleanup.later, lab, 1, {
      faults: false,
      routerArgs: [
        ...['--alert-url', receiver.url, '--alert-on', 'needs-attention'],
        ...['--grace-ms', '1000', '--alert-grace', '1'],
      ],
    });
    const { pam, json, folder } = installation;
    await newAccounts(['app']);
    // Another record of the host, with a credential of its own, which nothing but the service links to.
    await pam(['record', 'new', 'pamUser', '-n', 'webadmin', '-a', 'prod', '--login', 'admin', '--password-stdin'], {
      input: `${lab.admin.secrets.password}\n`,
    });
    await pam([
      ...['record', 'new', 'pamMachine', '-n', 'web', '-a', 'prod', '-c', 'dc1-net', '--host', '127.0.0.1'],
      ...['-p', String(server.port), '--credential', 'webadmin:admin'],
    ]);
    await server.run('mount', ['-t', 'tmpfs', 'tmpfs', '/usr/local/sbin']);
    const standIn = '#!/bin/sh\necho "$*" >>/root/calls\n';
    await server.run('sh', ['-c', 'umask 022; cat >"$0"; chmod 755 "$0"', '/usr/local/sbin/systemctl'], standIn);
    await server.run('sh', ['-c', 'umask 077; : >/etc/app.env']);

    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const template = file('app.env', 'DB_USER={{user}}\nDB_PASSWORD={{password}}\n');
    await pam([
      ...['rotation', 'service-add', '-r', 'app', '-n', 'web', '--machine', 'web', '--unit', 'web.service'],
      ...['--file', '/etc/app.env', '--template', template, '--escape', 'shell'],
    ]);
    const add = ['rotation', 'script-add', '-r', 'app'];
    const passes = file('passes', '#!/bin/sh\nread -r line; echo "$line" | base64 -d; id -un\n');
    await pam([...add, '-n', 'passes', '--on', 'target', '--file', passes]);
    await pam([...add, '-n', 'fails', '--on', 'target', '--file', file('fails', '#!/bin/sh\necho no >&2; exit 3\n')]);
    await pam([...add, '-n', 'later', '--file', file('later', '#!/bin/sh\nexit 0\n')]);
    const service = ['rotation', 'service-add', '-r', 'app', '-n', 'no'];
    const into = [...service, '--template', template, '--escape', 'shell', '--file'];
    const useless = file('useless', 'nothing in it');
    const refused: readonly (readonly [string, readonly string[]])[] = [
      ['is no path that can be signed', [...into, '/etc/../shadow']],
      ['is no path that can be signed', [...into, '/etc/a\nb']],
      ['is no name of a unit', [...service, '--unit', '--no-block']],
      ['has no {{password}}', [...service, '--file', '/etc/x', '--template', useless, '--escape', 'raw']],
      ['a file needs both', [...service, '--file', '/etc/x']],
      ['there is nothing to do', service],
      ['go with --on target', [...add, '-n', 'no', '--file', passes, '--machine', 'web']],
      [
        'records are given only on a machine that is named',
        [
          ...['rotation', 'script-add', '-r', 'dc1-net', '-n', 'no', '--on', 'target', '--file', passes],
          ...['--with-record', 'webadmin'],
        ],
      ],
    ];
    const answers = await Promise.all(refused.map(([, args]) => pam(args, { code: errorCatalog.PAM_USAGE.exit })));
    expect(answers.map(({ stderr }) => stderr)).toEqual(refused.map(([why]) => expect.stringContaining(why)));

    expect((await pam(['rotation', 'service-list', '-r', 'app'])).stdout).toMatch(/^web +web +web\.service +systemd/m);
    expect((await pam(['rotation', 'script-list', '-r', 'app'])).stdout).toMatch(/^passes +target +server /m);

    const rotated = await pam(['action', 'rotate', '-r', 'app', '--wait']);
    const ended = 'scripts: 1 done, 1 failed, 1 skipped; services: 1 done';
    expect(rotated.stderr).toContain(`warning: app: not all that follows the rotation was done (${ended})`);
    const password = String(member(await json(['record', 'get', 'app', '--unmask']), 'secrets', 'password'));
    expect(await lab.opens('app', { password })).toBe(true);
    const sourced = '. /etc/app.env; printf "%s %s" "$DB_USER" "$DB_PASSWORD"';
    expect(await server.run('sh', ['-c', sourced])).toBe(`app ${password}`);
    expect(await server.run('cat', ['/root/calls'])).toBe('restart web.service\n');

    const counts = {
      scripts: { done: 1, failed: 1, unknown: 0, skipped: 1 },
      services: { done: 1, failed: 0, unknown: 0, skipped: 0 },
    };
    const info = await pam(['action', 'job-info', 'last']);
    expect(info.stdout).toMatch(/^service +web +target +done/m);
    expect(info.stdout).toMatch(/^script +fails +target +failed \(exit 3\)$/m);
    expect(info.stdout).toContain('[secret]');
    expect(info.stdout).not.toContain(password);
    for (const shown of [
      await json(['action', 'job-info', 'last']),
      member(await json(['action', 'job-list', '-r', 'app']), 'jobs', '0'),
      member(await json(['rotation', 'history', '-r', 'app']), 'jobs', '0'),
      member(await json(['rotation', 'info', '-r', 'app']), 'last_job'),
    ])
      expect(shown).toMatchObject({ state: 'done', why: 'rotated', after: counts, after_text: ended });

    const troubled = async (): Promise<unknown> => member(await json(['rotation', 'list']), 'records', '0', 'trouble');
    expect(await troubled()).toBe('after');
    const { stdout: shown } = await pam(['rotation', 'info', '-r', 'app']);
    expect(shown).toMatch(/not all that follows the last rotation was done: pam action after -r \S+/);
    await until('the alert', () => alerts().includes('firing rotation-after'));

    // It is corrected and run again; the secret stays.
    const edit = ['rotation', 'script-edit', '-r', 'app', '-n', 'fails'];
    await pam(edit, { code: errorCatalog.PAM_USAGE.exit });
    await pam([...edit, '--file', file('corrected', '#!/bin/sh\nexit 0\n')]);
    await pam(['action', 'after', '-r', 'app', '--wait']);
    expect(await troubled()).toBeNull();
    expect(await lab.opens('app', { password })).toBe(true);
    await pam([...edit, '--file', file('again', '#!/bin/sh\nexit 3\n')]);

    // Where nothing but scripts changes the account, one that fails is a rotation that failed.
    await pam(['rotation', 'edit', '-r', 'app', '--scripts-only', 'on']);
    const only = await json(['action', 'rotate', '-r', 'app', '--wait'], { code: 1 });
    expect(only).toMatchObject({ state: 'failed', why: 'script-failed', after: counts });

    expect(await troubled()).toBe('failed');
    await until('the other alert', () => alerts().includes('firing rotation-failed'));

    await pam([...edit, '--enabled', 'off']);
    await pam(['action', 'rotate', '-r', 'app', '--wait']);
    expect(await troubled()).toBeNull();
    await until('the ends', () => alerts().filter((told) => told.startsWith('resolved')).length === 2);
    expect(alerts().toSorted()).toEqual([
      ...['firing rotation-after', 'firing rotation-failed', 'resolved rotation-after', 'resolved rotation-failed'],
    ]);

    await pam(['rotation', 'service-remove', '-r', 'app', '-n', 'web']);
    expect(await json(['rotation', 'service-list', '-r', 'app'])).toEqual({ services: [] });
  },
);
