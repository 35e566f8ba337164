import { execFileSync } from 'node:child_process';
import type { Escape } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { renderTemplate } from './render-template.ts';

const nasty = `a"b'c\\d$e\`f;g#h&i<j>k%l{{user}}(m) n$(id)=:@/*?~[o]!|^,.-_+ü`;
const render = (template: string, escape: Escape, password = nasty, user = 'bob'): string =>
  renderTemplate(template, escape, { user, password });

test('sh reads back exactly the value, whatever it is', () => {
  const text = render('user={{user}}\npassword={{password}}\nlast=1\n', 'shell');
  const read = `${text}printf "%s|%s|%s" "$user" "$password" "$last"`;
  expect(execFileSync('sh', ['-c', read], { encoding: 'utf8' })).toBe(`bob|${nasty}|1`);
});

test('JSON, XML and addresses read back exactly the value', () => {
  expect(JSON.parse(render('{"p": {{password}}}', 'json'))).toEqual({ p: nasty });
  const named = (text: string): string =>
    text.replaceAll(/&(amp|lt|gt|quot|#39);/g, (_all, name: string) =>
      name === '#39' ? "'" : ({ amp: '&', lt: '<', gt: '>', quot: '"' }[name] ?? ''),
    );
  const xml = render('<x p="{{password}}"/>', 'xml');
  expect(/^<x p="([^"<>']*)"\/>$/.exec(xml)?.[1]).toBe(xml.slice(6, -3));
  expect(named(xml.slice(6, -3))).toBe(nasty);
  const url = new URL(render('postgres://{{user}}:{{password}}@db.example/app', 'url'));
  expect([url.host, url.username, decodeURIComponent(url.password)]).toEqual(['db.example', 'bob', nasty]);
});

test('what could end its place in the file is refused, and the refusal does not show it', () => {
  for (const escape of ['raw', 'ini', 'shell', 'json', 'xml', 'url'] as const) {
    for (const value of ['a\nadmin=yes', 'a\rb', 'a\0b', 'a\u2028b', '\ud800']) {
      expect(() => render('{{password}}', escape, value)).toThrow('the password has characters');
      expect(() => render('{{user}}', escape, 'x', value)).toThrow('the user has characters');
    }
  }
  for (const value of ['a b', 'a;b', 'a#b', '"a"', "a'", 'a$b', 'a\\b', '{a}', 'ü']) {
    expect(() => render('p = {{password}}', 'ini', value)).toThrow('the password has characters');
  }
  expect(render('p = {{password}}', 'ini', 'aZ09-_.+=:@%/,^~')).toBe('p = aZ09-_.+=:@%/,^~');
});

test('a key is written raw, and only when it is nothing but a key', () => {
  const key = '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\nBBBB=\n-----END OPENSSH PRIVATE KEY-----\n';
  expect(render('{{password}}', 'raw', key)).toBe(key);
  expect(() => render('{{password}}', 'raw', `${key}admin=yes\n`)).toThrow('the password has characters');
  expect(() => render('{{password}}', 'json', key)).toThrow('the password has characters');
});

test('a value that looks like a placeholder stays what it is', () => {
  expect(render('{{password}} {{user}} {{other}}', 'raw', '{{user}}', '{{password}}')).toBe(
    '{{user}} {{password}} {{other}}',
  );
  expect(render('{{password}}', 'shell', '$&')).toBe('"\\$&"');
});
