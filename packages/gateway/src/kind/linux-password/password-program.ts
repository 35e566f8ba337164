import { readValues } from '../ssh/program-text.ts';

/** Where a host keeps the send numbers: one file per account, root's alone. */
const numberFolder = '/var/lib/sallyport/rotation';

/** Finds the account under exactly this name (`getent passwd 0` would answer root). */
const findAccount = `case "$(getent passwd "$login")" in "$login":*) ;; *) echo "no account of this name" >&2; exit 25;; esac`;

const readNumber = `old=0
[ -e "$dir/$key" ] && old=$(cat "$dir/$key")
case "$old" in ""|*[!0-9]*) echo "$dir/$key holds no number" >&2; exit 27;; esac`;

/**
 * Sets a password if the send number is higher than the one kept. In this order, under one lock:
 *
 * 1. The number is written first. A crash after it leaves a number without its password: the account still opens with
 *    the old one, and the next send is higher still. The other order would leave a password whose number is missing, and
 *    an older write that is still under way would then be let through.
 * 2. chpasswd inherits the lock (descriptor 9): even when the shell above it is killed, no other write begins before
 *    chpasswd has ended.
 *
 * printf must be the shell's own: another one would show the password in the list of processes.
 */
export const setPassword = `${readValues(['key', 'send', 'login', 'pair'])}
for tool in flock chpasswd getent; do command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 28; }; done
[ "$(command -v printf)" = printf ] || { echo "printf is not part of /bin/sh" >&2; exit 28; }
${findAccount}
case "$pair" in "$login":?*) ;; *) exit 20;; esac
hash=$(getent shadow "$login" | cut -d: -f2)
case "$hash" in "!"*|"*"*) echo "the account is locked, or has no password: a new one would open it" >&2; exit 26;; esac
dir=${numberFolder}
mkdir -p "$dir" && ( : >>"$dir/$key.lock" ) || exit 22
exec 9>>"$dir/$key.lock"
flock 9 || exit 22
${readNumber}
echo "number $old"
[ "$send" -gt "$old" ] || exit 24
printf "%s\\n" "$send" >"$dir/$key.new" && { sync "$dir/$key.new" || : ; } && mv -f "$dir/$key.new" "$dir/$key" || exit 22
printf "%s\\n" "$pair" | chpasswd || exit 30
echo changed`;

/** Shows the number that is kept for an account. */
export const showNumber = `${readValues(['key'])}
dir=${numberFolder}
${readNumber}
echo "number $old"`;

/** What a dry run looks at: lines `word answer`. Changes nothing. */
export const lookAtAccount = `${readValues(['login'])}
for tool in flock chpasswd getent; do command -v "$tool" >/dev/null && echo "$tool yes" || echo "$tool no"; done
[ "$(command -v printf)" = printf ] && echo "printf yes" || echo "printf no"
case "$(getent passwd "$login")" in "$login":*) echo "account yes";; *) echo "account no";; esac
cut -d: -f1 /etc/shadow 2>/dev/null | grep -qxF -e "$login" && echo "local yes" || echo "local no"
hash=$(getent shadow "$login" | cut -d: -f2)
case "$hash" in "!"*|"*"*) echo "open no";; *) echo "open yes";; esac
expires=$(getent shadow "$login" | cut -d: -f8)
case "$expires" in ""|*[!0-9]*) echo "valid yes";; *) [ "$expires" -gt "$(($(date +%s) / 86400))" ] && echo "valid yes" || echo "valid no";; esac
[ -w /etc ] && [ -w /etc/shadow ] && echo "writable yes" || echo "writable no"`;
