import { readValues } from '../ssh/program-text.ts';

/**
 * Becomes the account, then runs `$1`: a file in somebody's home is never touched as root, because the account could
 * have put a link there.
 */
export const becomeAccount = `IFS= read -r login || exit 20
command -v runuser >/dev/null || { echo "runuser is missing (util-linux)" >&2; exit 28; }
case "$(getent passwd "$login")" in "$login":*) ;; *) echo "no account of this name" >&2; exit 25;; esac
exec runuser -u "$login" -- /bin/sh -c "$1" sallyport`;

/** Finds the file and takes the lock of its folder; then `$file` is it, and `$work` where it is written anew. */
const openFile = `umask 077
export LC_ALL=C
for tool in flock getent readlink cp mv; do command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 28; }; done
home=$(getent passwd "$(id -un)" | cut -d: -f6)
[ -d "$home" ] || { echo "the account has no home" >&2; exit 31; }
[ -d "$home/.ssh" ] || mkdir -m 700 "$home/.ssh" || exit 22
[ -r "$home/.ssh" ] || { echo "~/.ssh cannot be read" >&2; exit 22; }
exec 9<"$home/.ssh"
flock 9 || exit 22
file=$home/.ssh/authorized_keys
[ -L "$file" ] && file=$(readlink -f "$file")
[ -e "$file" ] || touch "$file" || exit 22
work=$file.sallyport
rm -f "$work"
cp -p "$file" "$work" || exit 22`;

/** The new text takes the place of the old one, whole or not at all, with its owner, mode and SELinux context. */
const replaceFile = `command -v chcon >/dev/null && chcon --reference="$file" "$work" 2>/dev/null
{ sync "$work" || : ; } 2>/dev/null
mv -f "$work" "$file" || { rm -f "$work"; exit 22; }`;

/**
 * Adds a key beside those that are there, with a label of ours as its comment: `LABEL:SEND`.
 *
 * - A key of ours with a higher send means that this write is late: nothing is changed.
 * - The key that opened the account so far gets our label too (`LABEL:0`), so that the clean-up knows it; what was in
 *   front of it (`from=`, `command=` …) holds for the new one as well.
 */
export const addKey = `${readValues(['label', 'send', 'new', 'old'])}
${openFile}
options=
late=
while IFS= read -r line || [ -n "$line" ]; do
  case "$line" in "#"*) printf "%s\\n" "$line"; continue;; esac
  case " $line " in *" $new "*) continue;; esac
  if [ -n "$old" ]; then
    case " $line " in *" $old "*)
      options=\${line%%"$old"*}
      case "$line" in *" $label:"*) ;; *) line="$line $label:0";; esac;;
    esac
  fi
  case "$line" in *" $label:"*)
    number=\${line##*" $label:"}
    number=\${number%%[!0-9]*}
    [ "\${number:-0}" -lt "$send" ] || late=$number;;
  esac
  printf "%s\\n" "$line"
done <"$file" >"$work" || { rm -f "$work"; exit 22; }
[ -z "$late" ] || { rm -f "$work"; echo "number $late"; exit 24; }
printf "%s%s %s:%s\\n" "$options" "$new" "$label" "$send" >>"$work" || { rm -f "$work"; exit 22; }
${replaceFile}
echo changed`;

/**
 * Removes the keys with our label and a LOWER send than that of `keep`: the key of a later write is none of this one's
 * to remove. The key that opened the account before is among them, because `addKey` gave it the send 0.
 *
 * Without `keep` in the file, with our label, it removes nothing.
 */
export const retireKeys = `${readValues(['label', 'keep'])}
${openFile}
number_of() {
  number=
  case "$line" in *" $label:"*)
    number=\${line##*" $label:"}
    number=\${number%%[!0-9]*};;
  esac
}
kept=
while IFS= read -r line || [ -n "$line" ]; do
  case "$line" in "#"*) continue;; esac
  case " $line " in *" $keep "*) number_of; kept=$number;; esac
done <"$file"
[ -n "$kept" ] || { rm -f "$work"; echo "the key to keep is not there" >&2; exit 30; }
removed=0
while IFS= read -r line || [ -n "$line" ]; do
  case "$line" in "#"*) printf "%s\\n" "$line"; continue;; esac
  number_of
  if [ -n "$number" ] && [ "$number" -lt "$kept" ]; then removed=$((removed + 1)); continue; fi
  printf "%s\\n" "$line"
done <"$file" >"$work" || { rm -f "$work"; exit 22; }
[ "$removed" -gt 0 ] || { rm -f "$work"; echo "removed 0"; exit 0; }
${replaceFile}
echo "removed $removed"`;

/** What a dry run looks at: lines `word answer`. Changes nothing. */
export const lookAtKeys = `${readValues(['old'])}
for tool in flock getent readlink cp mv; do command -v "$tool" >/dev/null && echo "$tool yes" || echo "$tool no"; done
home=$(getent passwd "$(id -un)" | cut -d: -f6)
[ -d "$home" ] && echo "home yes" || echo "home no"
folder=$home
[ -d "$home/.ssh" ] && folder=$home/.ssh
[ -w "$folder" ] && echo "writable yes" || echo "writable no"
[ -e "$home/.ssh/authorized_keys" ] && ! [ -w "$home/.ssh/authorized_keys" ] && echo "file no" || echo "file yes"
if [ -n "$old" ]; then grep -qF -e "$old" "$home/.ssh/authorized_keys" 2>/dev/null && echo "known yes" || echo "known no"; fi`;
