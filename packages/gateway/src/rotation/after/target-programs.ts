import { readValues } from '../../kind/index.ts';

/** Printed once everything is in place: what comes after it, and the exit code, are the script's own. */
export const startedLine = 'sallyport-started';
/** Between asking a script to end and ending it, s. */
export const killAfterSeconds = 5;

const needs = (tools: string): string => `for tool in ${tools}; do
command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 28; }
done
[ "$(command -v printf)" = printf ] || { echo "printf is not part of /bin/sh" >&2; exit 28; }`;

/**
 * Runs a script, as who is logged in. `seconds` its limit, `body` its text, `command` program and arguments, `input` the
 * line that it reads; body and each word in base64.
 *
 * The line goes through a pipe: it is in no file, no argument and no environment. The script is a process group of its
 * own, led by `timeout`; what is left of it is ended when it ends, and when this program is told to.
 */
export const runScript = `${readValues(['seconds', 'body', 'command', 'input'])}
${needs('base64 env mktemp')}
umask 077
dir=$(mktemp -d /tmp/sallyport-script-XXXXXXXXXX) || exit 22
group=
clean() {
[ -z "$group" ] || kill -s KILL -- "-$group" 2>/dev/null
cd / && rm -rf -- "$dir"
}
trap clean EXIT
trap "exit 143" HUP INT TERM
printf "%s" "$body" | base64 -d >"$dir/body" && chmod 700 "$dir/body" || exit 22
set --
for word in $command; do
value=$(printf "%s" "$word" | base64 -d && echo .) || exit 20
set -- "$@" "\${value%.}"
done
set -- "$@" "$dir/body"
cd "$dir" || exit 22
echo ${startedLine}
printf "%s\\n" "$input" 2>/dev/null | env -i PATH="$PATH" LANG=C.UTF-8 HOME="$dir" TMPDIR="$dir" timeout -k ${killAfterSeconds} "$seconds" "$@" &
group=$!
wait "$group"`;

/** Printed as far as it came. */
export const writtenLine = 'sallyport-written';
export const restartedLine = 'sallyport-restarted';
export const serviceExits = { notOurs: 41, cannotWrite: 43, notRestarted: 44 } as const;

/**
 * Writes a file and restarts what reads it, as root. `key` names the service, `epoch` the holder of the job, `content` is
 * base64; `file` and `unit` may be empty.
 *
 * 1. Under a lock, a holder of a lower epoch than was seen changes nothing: who slept must not put an old secret back.
 * 2. The file must be there, led to by no link, and it and every folder above it root's alone to change: so nobody else
 *    can exchange one between the look and the rename.
 * 3. Written beside, given the owner, mode and labels of the old one, put on the disk, then moved into its place.
 * 4. What is started does not inherit the lock, nor an output of ours.
 */
export const updateService = `${readValues(['key', 'epoch', 'file', 'content', 'unit', 'manager'])}
${needs('base64 cp flock mktemp readlink stat sync')}
store=/var/lib/sallyport/rotation
mkdir -p "$store" && ( : >>"$store/$key.lock" ) || exit 22
exec 9>>"$store/$key.lock"
flock -w 20 9 || { echo "another update of this service does not end" >&2; exit 22; }
seen=0
[ -e "$store/$key" ] && seen=$(cat "$store/$key")
case "$seen" in ""|*[!0-9]*) echo "$store/$key holds no number" >&2; exit 27;; esac
[ "$epoch" -ge "$seen" ] || exit 24
printf "%s\\n" "$epoch" >"$store/$key.new" && { sync "$store/$key.new" || : ; } && mv -f "$store/$key.new" "$store/$key" || exit 22
temp=
trap "rm -f -- \\"\\$temp\\" \\"$store/$key.out\\"" EXIT
trap "exit 143" HUP INT TERM
if [ -n "$file" ]; then
[ -f "$file" ] || { echo "$file is not there: create it once, with the owner and mode that it shall keep" >&2; exit 41; }
[ "$(readlink -f -- "$file"; echo .)" = "$file
." ] || { echo "a link leads to $file" >&2; exit 41; }
at=$file
while :; do
rights=$(stat -c "%u %a" -- "\${at:-/}") || exit 41
case "$rights" in
"0 "*) ;;
*) echo "\${at:-/} does not belong to root" >&2; exit 41;;
esac
[ "$at" = "$file" ] || case "$rights" in
*[2367]|*[2367]?) echo "others than root can change what is in \${at:-/}" >&2; exit 41;;
esac
[ -n "$at" ] || break
at=\${at%/*}
done
folder=\${file%/*}
folder=\${folder:-/}
temp=$(mktemp -- "$folder/.sallyport-XXXXXXXXXX") || exit 43
printf "%s" "$content" | base64 -d >"$temp" || exit 43
cp --attributes-only --preserve=all -- "$file" "$temp" && touch -- "$temp" && sync -- "$temp" || exit 43
mv -fT -- "$temp" "$file" && sync -- "$folder" || exit 43
echo ${writtenLine}
fi
[ -n "$unit" ] || exit 0
case "$manager" in
systemd) systemctl restart "$unit";;
sysv) service "$unit" restart;;
*) exit 20;;
esac </dev/null >"$store/$key.out" 2>&1 9>&-
code=$?
tail -c 32768 "$store/$key.out" >&2
[ "$code" = 0 ] || { echo "exit code $code" >&2; exit 44; }
echo ${restartedLine}`;
