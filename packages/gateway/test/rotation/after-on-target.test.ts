import { createCleanup, type LinuxHost, requireLinuxHost, startFaultProxy } from '@sallyport/testkit';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { afterLab } from '../lab/after-lab.ts';
import { startLinuxLab } from '../lab/linux-lab.ts';

const presence = await requireLinuxHost();
const patienceMs = 120_000;
/** Everything that a shell, sed, printf or a glob would make something of. */
const nasty = `a"b'c\\d$e\`f;g#h&i<j>k%s*(m) n$(id)={{user}}~!|^`;

/** Records how it was called; a unit of a name that begins with `bad` does not come up. */
const systemctl = `#!/bin/sh
echo "$0 $*" >>/root/calls
case "$2" in bad*) echo "Job for $2 failed" >&2; exit 3;; esac
`;

describe.skipIf(presence.isMissing)('after a rotation, on a machine', { timeout: patienceMs }, () => {
  let host: LinuxHost;
  let lab: Awaited<ReturnType<typeof afterLab>>;
  let stubborn: ReturnType<typeof lab.run>;
  const cleanup = createCleanup();
  afterAll(cleanup.run);
  beforeAll(async () => {
    host = await startLinuxLab(cleanup.later);
    // The host shares programs and temporary files of this machine: places of its own are laid over them.
    await host.run('mount', ['-t', 'tmpfs', 'tmpfs', '/usr/local/sbin']);
    await host.run('mount', ['-t', 'tmpfs', '-o', 'mode=1777', 'tmpfs', '/tmp']);
    await host.run('sh', ['-c', 'umask 022; cat >"$0"; chmod 755 "$0"', '/usr/local/sbin/systemctl'], systemctl);
    await host.run('sh', ['-c', 'mkdir -m 755 /etc/app && umask 077 && echo old >/etc/app/db.env']);
    await host.run('sh', ['-c', 'chgrp nogroup /etc/app/db.env && chmod 640 /etc/app/db.env']);
    lab = await afterLab(host, { login: 'asks', password: 'asks-Pass-1' });
    // Its limit and what it is given to end take 6 s, in which the others run.
    const body = `trap '' TERM; (trap '' TERM; sleep 678) & while :; do sleep 679; done`;
    const script = await lab.script('stubborn', body, { timeoutSeconds: 1 });
    stubborn = lab.run({ scripts: [script, await lab.script('later', 'exit 0')] });
  }, patienceMs);

  const left = async (): Promise<string> => host.run('sh', ['-c', 'ls -d /tmp/sallyport-script-* 2>/dev/null; true']);
  const read = async (file: string): Promise<string> => host.run('cat', [file]);

  describe('scripts', () => {
    test('one reads the line and leaves nothing of it where another user could look', async () => {
      const body = [
        'read -r line',
        'echo "$line" | base64 -d; echo; echo "$line"; id -un; pwd; env',
        'for file in /proc/[0-9]*/cmdline /proc/[0-9]*/environ; do grep -aqF "$line" "$file" 2>/dev/null && echo "seen in $file"; done',
        'grep -rF "$line" . && echo "seen in a file"',
        "echo 'it'\\''s' 'asks-Pass-1' >&2; exit 3",
      ].join('\n');
      const { scripts, text } = await lab.run({ scripts: [await lab.script("it's $(one)", body)] });
      expect(scripts).toMatchObject([{ name: "it's $(one)", result: 'failed', exitCode: 3, timedOut: false }]);
      const output = scripts[0]?.output ?? '';
      expect(output).toContain('"user":"bob","oldPassword":"[secret]","newPassword":"[secret]"');
      expect(output).toContain('[secret]\nasks\n/tmp/sallyport-script-');
      expect(output).toContain("it's [secret]\n");
      expect(output).not.toMatch(/seen in|SSH_|LOGNAME/);
      expect(text).not.toMatch(/pass-word|asks-Pass-1/);
    });

    test('a secret that the end of what is kept cuts in two is not told in pieces', async () => {
      const body = 'read -r line; head -c 65510 /dev/zero | tr "\\0" x; printf %s "$line" | base64 -w 0';
      const { scripts } = await lab.run({ scripts: [await lab.script('long', body)] });
      expect(scripts).toMatchObject([{ result: 'done', output: expect.stringMatching(/^x+\[secret\]$/) }]);
    });

    test('words of its command and its text arrive as they are', async () => {
      const words = ['/bin/sh', '-c', 'for word; do printf "<%s>" "$word"; done; cat "$2" "$1" | tail -n 1', '--'];
      const odd = ["it's", '$(id) `id` *', 'two\nlines\n', '-x', 'ü "'];
      const script = await lab.script('words', `#!/bin/false ü "'$(id)\nlast 'line'`, { command: [...words, ...odd] });
      const { scripts } = await lab.run({ scripts: [script] });
      expect(scripts[0]?.output).toContain(odd.map((word) => `<${word}>`).join(''));
      expect(scripts[0]?.output).toMatch(/<\/tmp\/sallyport-script-\w+\/body>/);
    });

    test('one without a command is run by its first line', async () => {
      const text = '#!/usr/bin/perl\nprint "perl $$\\n"; exit 7';
      const { scripts } = await lab.run({ scripts: [await lab.script('perl', text, { command: [] })] });
      expect(scripts).toMatchObject([{ exitCode: 7, output: expect.stringMatching(/^perl \d+\n$/) }]);
    });

    test('what it leaves running is ended, and what left its group holds nobody up', async () => {
      const body = 'sleep 688 & setsid sleep 3 & echo over';
      const { scripts } = await lab.run({ scripts: [await lab.script('leaves', body)] });
      expect(scripts).toMatchObject([{ result: 'done', output: 'over\n' }]);
      expect(await host.run('sh', ['-c', 'pgrep -f "sleep 68[8]"; true'])).toBe('');
    });

    test('a cut connection is told as unknown, and those after it do not run', async () => {
      const proxy = await startFaultProxy(onTestFinished, host);
      const script = await lab.script(
        'cut',
        'touch /tmp/after-began; while [ -e /tmp/after-began ]; do sleep 0.1; done',
      );
      const running = lab.run({ port: proxy.port, scripts: [script, await lab.script('later', 'exit 0')] });
      await expect
        .poll(() => host.run('sh', ['-c', 'ls /tmp/after-began 2>/dev/null; true']), { timeout: 20_000 })
        .not.toBe('');
      proxy.cut('reset');
      expect((await running).scripts).toMatchObject([
        { result: 'unknown', exitCode: null },
        { name: 'later', result: 'skipped' },
      ]);
      await host.run('rm', ['/tmp/after-began']);
    });

    test('a machine that prints a gigabyte is not listened to', async () => {
      const script = await lab.script('floods', 'head -c 1000000000 /dev/zero; echo never');
      const { scripts, text } = await lab.run({ scripts: [script] });
      expect(scripts).toMatchObject([{ result: 'unknown', output: expect.stringContaining('more than 16 MiB') }]);
      expect(text.length).toBeLessThan(1_000);
    });

    test('a machine with another key gets neither password nor script', async () => {
      const before = host.log().length;
      const { scripts } = await lab.run({
        identity: `sha256:${'A'.repeat(43)}`,
        scripts: [await lab.script('x', 'exit 0')],
      });
      expect(scripts).toMatchObject([{ result: 'failed', output: expect.stringContaining('another ssh key') }]);
      expect(host.log().slice(before)).not.toMatch(/password for asks/);
    });

    test('it is not run where record, configuration or credential do not fit, and says which', async () => {
      const scripts = [await lab.script('x', 'exit 0')];
      for (const [given, why] of [
        [{ isUsable: false }, 'the credential does not name the machine'],
        [{ configuration: lab.record }, 'the machine has another PAM configuration'],
        [{ resourceType: 'pamDatabase' as const }, 'the resource is a pamDatabase: name the machine'],
      ] as const) {
        const told = await lab.run({ ...given, scripts });
        expect(told.scripts).toMatchObject([{ result: 'failed', output: expect.stringContaining(why) }]);
      }
      const onWhichever = await lab.scriptOfResource('given records', 'exit 0', [lab.adminRecord]);
      const told = await lab.run({ ofResource: [await lab.scriptOfResource('plain', 'exit 0'), onWhichever] });
      expect(told.scripts).toMatchObject([
        { name: 'plain', result: 'done' },
        { result: 'failed', output: expect.stringContaining('records are given only on a machine that') },
      ]);
    });

    test('at its limit the machine ends it with all it began, also when it does not want to', async () => {
      const { scripts } = await stubborn;
      expect(scripts).toMatchObject([
        { result: 'failed', exitCode: null, timedOut: true },
        { name: 'later', result: 'skipped' },
      ]);
      expect(await host.run('sh', ['-c', 'pgrep -f "sleep 67[89]"; true'])).toBe('');
      await expect.poll(left, { timeout: 20_000 }).toBe('');
    });
  });

  describe('services', () => {
    test('the file is exchanged whole, keeps owner and mode, and the unit is restarted', async () => {
      const service = await lab.service('web', {
        ...{ unit: 'web.service', file: '/etc/app/db.env', escape: 'shell' },
        template: "# it's\nUSER={{user}}\nPASSWORD={{password}}\nLAST=1\n",
      });
      const inode = await host.run('stat', ['-c', '%i', '/etc/app/db.env']);
      const { services, text } = await lab.run({ services: [service], newPassword: nasty, login: 'bob $(id)' });
      expect(services).toMatchObject([{ result: 'done', written: true, restarted: true }]);
      expect(text).not.toContain(JSON.stringify(nasty).slice(1, -1));
      const show = '. /etc/app/db.env; printf "%s|%s|%s" "$USER" "$PASSWORD" "$LAST"';
      expect(await host.run('sh', ['-c', show])).toBe(`bob $(id)|${nasty}|1`);
      expect(await host.run('stat', ['-c', '%U %G %a', '/etc/app/db.env'])).toBe('root nogroup 640\n');
      expect(await host.run('stat', ['-c', '%i', '/etc/app/db.env'])).not.toBe(inode);
      expect(await host.run('ls', ['-A', '/etc/app'])).toBe('db.env\n');
      expect(await read('/root/calls')).toMatch(/systemctl restart web\.service\n$/);
    });

    test('a restart that fails is told; the file stays, and what follows is done', async () => {
      const { services, scripts } = await lab.run({
        services: [
          await lab.service('bad', { unit: 'bad.service', file: '/etc/app/db.env', template: 'one {{password}}' }),
          await lab.service('good', { unit: 'good.service' }),
        ],
        scripts: [await lab.script('follows', 'exit 0')],
      });
      expect(services).toMatchObject([
        {
          result: 'failed',
          written: true,
          restarted: false,
          message: expect.stringContaining('Job for bad.service failed'),
        },
        { result: 'done', restarted: true },
      ]);
      expect(services[0]?.message).toContain('exit code 3');
      expect(scripts).toMatchObject([{ result: 'done' }]);
      expect(await read('/etc/app/db.env')).toBe('one new-pass-word');
    });

    test('a service of the old kind is restarted by its own script, and does not hold the lock', async () => {
      const init = `#!/bin/sh\n[ "$1" = restart ] || exit 9\nsetsid sleep 600 & echo "restarted $0"`;
      await host.run('sh', ['-c', 'cat >/etc/init.d/after-lab; chmod 755 /etc/init.d/after-lab'], init);
      const service = await lab.service('old', { unit: 'after-lab', manager: 'sysv' });
      for (const epoch of [1, 2]) {
        const { services } = await lab.run({ services: [service], epoch });
        expect(services).toMatchObject([{ result: 'done', message: expect.stringContaining('restarted') }]);
      }
    });

    test('a holder that comes late puts no old secret back', async () => {
      const service = await lab.service('fenced', { file: '/etc/app/db.env' });
      const write = (epoch: number, newPassword: string) => lab.run({ services: [service], epoch, newPassword });
      expect((await write(2 ** 45 + 2, 'second-one')).services).toMatchObject([{ result: 'done' }]);
      expect((await write(2 ** 45 + 1, 'first-one-')).services).toMatchObject([{ result: 'skipped', written: false }]);
      expect(await read('/etc/app/db.env')).toBe('second-one');
      expect((await write(2 ** 45 + 2, 'again-one-')).services).toMatchObject([{ result: 'done' }]);
    });

    test('a file that is not root’s alone, or that a link leads to, is not touched', async () => {
      await host.run('sh', [
        '-c',
        `cd /etc/app && umask 022 && echo kept >real && ln -s real link && ln -s /etc/app /etc/led
        mkdir -m 775 open && mkdir -m 1777 sticky && mkdir open/deep && mkdir bobs && chown nobody bobs
        for folder in open sticky open/deep bobs; do echo kept >$folder/file; done
        echo kept >theirs && chown nobody theirs`,
      ]);
      const files = {
        '/etc/app/link': 'a link leads to',
        '/etc/led/real': 'a link leads to',
        '/etc/app/none': 'is not there',
        '/etc/app': 'is not there',
        '/etc/app/theirs': '/etc/app/theirs does not belong to root',
        '/etc/app/open/file': 'can change what is in /etc/app/open',
        '/etc/app/open/deep/file': 'can change what is in /etc/app/open',
        '/etc/app/sticky/file': 'can change what is in /etc/app/sticky',
        '/etc/app/bobs/file': '/etc/app/bobs does not belong to root',
        '/dev/null': 'is not there',
      };
      const services = await Promise.all(
        Object.keys(files).map((file) => lab.service(file, { file, unit: 'never.service' })),
      );
      const told = await lab.run({ services });
      expect(told.services.map(({ result, written, message }) => [result, written, message])).toEqual(
        Object.values(files).map((why) => ['failed', false, expect.stringContaining(why)]),
      );
      expect(
        await host.run('sh', ['-c', 'cd /etc/app; cat real theirs open/file open/deep/file sticky/file bobs/file']),
      ).toBe('kept\n'.repeat(6));
      expect(await host.run('sh', ['-c', 'find /etc/app -name ".sallyport*"'])).toBe('');
      expect(await read('/root/calls')).not.toContain('never');
    });

    test('one that was changed after it was signed is not touched', async () => {
      const signed = await lab.service('web', { file: '/etc/app/db.env' });
      for (const changes of [{ file: '/etc/app/real' }, { unit: 'never' }, { template: 'x {{password}}' }]) {
        const { services } = await lab.run({ services: [{ ...signed, ...changes }] });
        expect(services).toMatchObject([{ result: 'failed', message: expect.stringContaining('PAM_ORDER_INVALID') }]);
      }
    });
  });
});
