import { FILES_HELPER } from '../docker/files-helper.ts';

// The scripts run in the container as its user, so the kernel decides what a path may reach: it
// cannot leave the root of the container, whatever links and `..` it has. The parts of a path are
// arguments and never code.

/** Exit codes of the scripts, with their meaning for a client. Others are errors of a program. */
export const FILE_EXITS = {
  21: 'no_file',
  22: 'not_regular',
  23: 'not_directory',
  24: 'condition',
  25: 'exists',
  26: 'incomplete',
  27: 'range',
  28: 'not_empty',
} as const;

/**
 * Functions for all scripts. `tag` prints the entity tag of an open or named file: the inode, the size
 * and the time of the last change, which a program cannot set.
 */
const COMMON = `
B=${FILES_HELPER}
tag() { $B stat $1 -c '%i-%s-%z' -- "$2" | $B tr -cd '0-9-'; }
parent() { case "$1" in */*) printf '%s.' "\${1%/*}/" ;; esac; }
enter() {
  folder=$(parent "$1"); folder=\${folder%.}; name="./\${1##*/}"
  [ "$2" = make ] && { $B mkdir -p -- "$folder" || exit 1; }
  [ -e "$folder" ] || exit 21
  cd -- "$folder" 2>/dev/null || { [ -d "$folder" ] && cd -- "$folder"; exit 23; }
}
`;

/**
 * Types of file systems (statfs(2)) whose files have no true size: proc, sysfs, cgroup, cgroup2,
 * debugfs, tracefs, securityfs.
 */
const KERNEL_FILES = '9fa0|62656572|27e0eb|63677270|64626720|74726163|73636673';

/**
 * Reads a regular file. Prints `tag size start length modified mode` and a line break, then the bytes.
 * Arguments: path, first byte, last byte, a tag or empty. Both bytes empty: all. The first one empty: the
 * last bytes. A file that has not the given tag is read whole.
 */
const READ = `${COMMON}
[ -e "$1" ] || exit 21
[ -f "$1" ] || exit 22
exec 3<"$1" || exit 1
[ -f /proc/self/fd/3 ] || exit 22
case "$($B stat -L -f -c %t /proc/self/fd/3)" in ${KERNEL_FILES}) exit 22 ;; esac
size=$($B stat -L -c %s /proc/self/fd/3) || exit 1
tag=$(tag -L /proc/self/fd/3)
if [ -n "$4" ] && [ "$4" != "$tag" ]; then set -- "$1" '' ''; fi
first=\${2:-0}
last=\${3:-$((size - 1))}
if [ -z "$2" ] && [ -n "$3" ]; then first=$((size - $3)); last=$((size - 1)); fi
[ "$first" -ge 0 ] || first=0
[ "$last" -lt "$size" ] || last=$((size - 1))
if [ -n "$2$3" ] && [ "$first" -gt "$last" ]; then printf '%s' "$size" >&2; exit 27; fi
length=$((last - first + 1))
echo "$tag $size $first $length $($B stat -L -c '%Y %a' /proc/self/fd/3)"
[ "$first" = 0 ] || $B dd bs=1 skip="$first" count=0 <&3 2>/dev/null
if [ "$((last + 1))" = "$size" ]; then exec $B cat <&3; fi
exec $B head -c "$length" <&3
`;

/**
 * Writes a file beside its place and renames it, so that no part of it looks whole. The input must end
 * with the end mark: without it, the sender was cut off. Prints the new tag.
 * Arguments: path, end mark, temporary name, mode or empty, the tag that the file must have or empty,
 * `new` if no file may be there or empty.
 */
const WRITE = `${COMMON}
umask 022
check() {
  if [ -d "$name" ]; then exit 22; fi
  if [ "$2" = new ] && { [ -e "$name" ] || [ -L "$name" ]; }; then exit 24; fi
  [ -z "$1" ] || { [ -e "$name" ] && { [ "$1" = '*' ] || [ "$(tag -L "$name")" = "$1" ]; }; } || exit 24
}
enter "$1" make
check "$5" "$6"
new="./$3"
trap '$B rm -f -- "$new"' EXIT
set -C
$B cat >"$new" || exit 1
size=$($B stat -c %s -- "$new") || exit 1
end=\${#2}
[ "$size" -ge "$end" ] && [ "$($B tail -c "$end" -- "$new")" = "$2" ] || exit 26
$B truncate -s $((size - end)) "$new" || exit 1
mode=$4
if [ -z "$mode" ] && [ ! -L "$name" ]; then
  mode=$($B stat -c %a -- "$name" 2>/dev/null) || mode=
  case "$mode" in ????) mode=\${mode#?} ;; esac
fi
[ -z "$mode" ] || $B chmod "$mode" "$new" || exit 1
check "$5" "$6"
if [ "$6" = new ]; then
  $B ln -- "$new" "$name" 2>/dev/null || { [ -e "$name" ] && exit 24; $B mv -n -T -- "$new" "$name"; } || exit 1
else
  $B mv -f -T -- "$new" "$name" || exit 1
fi
$B rm -f -- "$new"
tag -L "$name"
`;

/**
 * Lists a directory: for each entry the mark, `mode size modified ./name` and a line break. Names may
 * contain anything else than the mark. Arguments: path, mark.
 */
const LIST = `${COMMON}
[ -e "$1" ] || exit 21
[ -d "$1" ] || exit 23
cd -- "$1" || exit 1
exec $B find . -mindepth 1 -maxdepth 1 -exec $B stat -c "$2%f %s %Y %n" {} +
`;

/** Removes a file, a link or an empty directory. Arguments: path, `recursive` or empty. */
const REMOVE = `${COMMON}
enter "$1"
[ -e "$name" ] || [ -L "$name" ] || exit 21
if [ "$2" = recursive ]; then exec $B rm -rf -- "$name"; fi
if [ -d "$name" ] && [ ! -L "$name" ]; then
  [ -z "$($B ls -A -- "$name" | $B head -c 1)" ] || exit 28
  exec $B rmdir -- "$name"
fi
exec $B rm -f -- "$name"
`;

/**
 * Renames a file or a directory. To another file system it is copied beside its place first.
 * Arguments: from, to, temporary name, `replace` or empty.
 */
const MOVE = `${COMMON}
enter "$1"; from="$PWD/$name"
cd /
[ -e "$from" ] || [ -L "$from" ] || exit 21
enter "$2" make
if [ -e "$name" ] || [ -L "$name" ]; then
  [ "$4" = replace ] || exit 25
  [ ! -d "$name" ] || exit 22
fi
if [ "$($B stat -c %d -- "$from")" = "$($B stat -c %d -- .)" ]; then
  exec $B mv -f -T -- "$from" "$name"
fi
new="./$3"
trap '$B rm -rf -- "$new"' EXIT
trap 'exit 1' TERM
$B cp -a -- "$from" "$new" || exit 1
$B mv -f -T -- "$new" "$name" || exit 1
$B rm -rf -- "$from"
`;

const SCRIPTS = { read: READ, write: WRITE, list: LIST, remove: REMOVE, move: MOVE } as const;

/** The command of a file operation. */
export function fileCommand(
  operation: keyof typeof SCRIPTS,
  ...args: readonly string[]
): readonly string[] {
  return [FILES_HELPER, 'sh', '-c', SCRIPTS[operation], 'ephemera', ...args];
}
