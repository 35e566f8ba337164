import fc from 'fast-check';
import { expect, test } from 'vitest';
import { aliasesOf, hostBlocks, type SshHost } from './host-blocks.ts';

const uid = 'Abcdefghijklmnopqrstu1';
const host = (more: Partial<SshHost> = {}): SshHost => ({ recordUid: uid, title: 'web1', login: null, ...more });
const pam = ['/usr/bin/node', '/opt/pam.mjs'];

test('a record is reached by its title and by its UID, through pam, under a host key of its own', () => {
  expect(
    hostBlocks([host({ login: 'deploy' })], pam)
      .split('\n')
      .slice(2),
  ).toEqual([
    '# web1',
    `Host web1.pam ${uid}.pam`,
    `  HostKeyAlias ${uid}`,
    '  CheckHostIP no',
    '  User deploy',
    `  ProxyCommand /usr/bin/node /opt/pam.mjs tunnel start ${uid} --stdio`,
    '',
  ]);
});

test('a title that two records share, whatever its case, names neither', () => {
  const other = host({ recordUid: 'Zbcdefghijklmnopqrstu1', title: 'WEB1' });
  expect(aliasesOf(host(), [host(), other])).toEqual([`${uid}.pam`]);
});

test('a record called like a host of the internet does not take that host over', () => {
  for (const alias of aliasesOf(host({ title: 'github.com' }), [host({ title: 'github.com' })])) {
    expect(alias).toMatch(/\.pam$/);
  }
});

test('a program whose path has blanks, quotes and percent signs stays one word for the shell and for ssh', () => {
  const text = hostBlocks([host()], [`/home/o'neil/my %h tools/pam`]);
  expect(text).toContain(`ProxyCommand '/home/o'\\''neil/my %%h tools/pam' tunnel start`);
});

test('whatever a title or login holds, the file says nothing but what it should', () => {
  const nasty = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 80 }),
    fc.string({ unit: 'binary', maxLength: 80 }),
    fc.constantFrom(
      'a\nProxyCommand rm -rf ~',
      '* !web',
      'x"y',
      "a'b",
      '-oProxyCommand=x',
      'a b',
      '#',
      '',
      'a\u2028Host *',
    ),
  );
  const hosts = fc.array(
    fc.record({
      recordUid: fc.stringMatching(/^[A-Za-z][\w-]{21}$/),
      title: nasty,
      login: fc.option(nasty),
    }),
    { maxLength: 5 },
  );
  fc.assert(
    fc.property(hosts, (all) => {
      for (const line of hostBlocks(all, pam).split('\n')) {
        expect(line).toMatch(
          /^(|#[^\n\r]*|Host( [A-Za-z0-9][\w.-]*\.pam)+| {2}HostKeyAlias [A-Za-z][\w-]{21}| {2}CheckHostIP no| {2}User [\w][\w.@-]*| {2}ProxyCommand \/usr\/bin\/node \/opt\/pam\.mjs tunnel start [A-Za-z][\w-]{21} --stdio)$/,
        );
      }
    }),
  );
});
