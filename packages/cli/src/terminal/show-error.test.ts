import { errorCatalog, PamError } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { showError, toPamError } from './show-error.ts';
import type { Terminal } from './terminal.ts';

function fakeTerminal() {
  const said = { out: '', err: '' };
  const terminal = {
    out: (text: string) => void (said.out += text),
    err: (text: string) => void (said.err += text),
  } as unknown as Terminal;
  return { terminal, said };
}

test('an error is two lines on standard error with remedy and code, and the exit code of the catalogue', () => {
  const { terminal, said } = fakeTerminal();
  expect(showError(terminal, 'table', new PamError('PAM_NOT_FOUND', 'there is no record “x”'))).toBe(3);
  expect(said).toEqual({
    out: '',
    err: `error: there is no record “x”\n  remedy: ${errorCatalog.PAM_NOT_FOUND.remedy} (PAM_NOT_FOUND)\n`,
  });
});

test('in json mode it is one line of JSON, on standard error too', () => {
  const { terminal, said } = fakeTerminal();
  showError(terminal, 'json', new PamError('PAM_IN_USE', 'used', { detail: { by: 'x' } }));
  expect(said.out).toBe('');
  expect(said.err.trim().split('\n')).toHaveLength(1);
  expect(JSON.parse(said.err)).toMatchObject({ error: { code: 'PAM_IN_USE', message: 'used', detail: { by: 'x' } } });
});

test('what a router says cannot steer the terminal', () => {
  const { terminal, said } = fakeTerminal();
  showError(terminal, 'table', new PamError('PAM_NOT_FOUND', '\u001b]0;gone\u0007'));
  expect(said.err).not.toContain('\u001b');
});

test('anything else that is thrown becomes an error with a code', () => {
  expect(toPamError(new TypeError('x is undefined'))).toMatchObject({
    code: 'PAM_INTERNAL',
    message: 'x is undefined',
  });
  expect(toPamError('text')).toMatchObject({ code: 'PAM_INTERNAL' });
  expect(toPamError(new DOMException('stop', 'AbortError'))).toMatchObject({ code: 'PAM_INTERRUPTED' });
});
