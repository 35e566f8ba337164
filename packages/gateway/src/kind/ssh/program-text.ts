/**
 * How a program gets onto a Linux host: as ONE constant text of POSIX sh. Everything that varies (names, numbers,
 * secrets) comes by standard input, one value a line, so that no value is ever read as a program and none is seen in
 * the list of processes.
 *
 * The texts hold no single quote, because they travel inside single quotes through the login shell (any shell but csh).
 */

/** First line that a started program prints: from here on it reads. */
export const readyLine = 'sallyport-ready';
/** Last line that is sent: a program that did not get all of its input changes nothing. */
export const endLine = 'sallyport-end';
/** What sudo asks when it wants a password, so that it gets exactly one answer. */
export const sudoQuestion = '[sallyport-sudo]';

/**
 * Waits for its limit in seconds, then runs `$1` under it, with all of its children: the limit begins when the values
 * are sent, not when the program was put in place.
 */
const armed = `umask 077
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
command -v timeout >/dev/null || { echo "timeout is missing (coreutils)" >&2; exit 28; }
echo ${readyLine}
IFS= read -r limit || exit 20
exec timeout -k 1 "$limit" /bin/sh -c "$1" sallyport "$2"`;

/** As root: at once, or by sudo. -k: a password that sudo remembers would shift what is read by one line. */
const asRoot = `export LC_ALL=C
if [ "$(id -u)" = 0 ]; then exec /bin/sh -c "$1" sallyport "$2" "$3"; fi
exec sudo -k -S -p "${sudoQuestion}" -- /bin/sh -c "$1" sallyport "$2" "$3"`;

const quoted = (text: string): string => `'${text}'`;

/** The command that puts `program` in place. `inner` is its `$1`, for programs that start another as somebody else. */
export function commandFor(as: 'root' | 'self', program: string, inner = ''): string {
  const parts = as === 'root' ? [asRoot, 'sallyport', armed, program, inner] : [armed, 'sallyport', program, inner];
  return `exec /bin/sh -c ${parts.map((part, index) => (part === 'sallyport' && index === 1 ? part : quoted(part))).join(' ')}`;
}

/** First lines of a program: takes its values, and ends when they are not whole. */
export const readValues = (names: readonly string[]): string =>
  `${[...names, 'end'].map((name) => `IFS= read -r ${name}`).join(' && ')} && [ "$end" = ${endLine} ] || exit 20`;

/** Exit codes that the programs share; `remote-program.ts` and the kinds read them. */
export const exits = {
  incomplete: 20,
  cannotKeep: 22,
  fenced: 24,
  noAccount: 25,
  locked: 26,
  badNumber: 27,
  missingTool: 28,
  refused: 30,
  noHome: 31,
} as const;
