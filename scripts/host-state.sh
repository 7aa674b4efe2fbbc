# Sourced by scripts/test: what tests could leave on the host.
# shellcheck shell=bash
# shellcheck disable=SC2154 # $lanes is test-lanes.sh's

# Begins the names of what tests make, and of the runtime that they call.
HOST_MARKS="hako-e2e-|hako-test-|hako-clients-|hako-with-systemd|$PWD/dist/hako"

# Processes that are the tests' by their words, their cgroups, or what is mounted where they are; not those of the lanes,
# which go on, nor this script's.
test_processes() {
	local dir stat state session
	for dir in /proc/[0-9]*; do
		[ "${dir#/proc/}" != $$ ] || continue
		# PID (NAME) STATE PPID PGRP SESSION: those of the lanes have their sessions; a zombie only waits for its parent
		stat=$(cat "$dir/stat" 2>/dev/null) || continue
		read -r state _ _ session _ <<<"${stat##*) }"
		[ "$state" != Z ] || continue
		case " ${lanes[*]-} " in *" $session "*) continue ;; esac
		grep -qsE -e "$HOST_MARKS" "$dir/cmdline" "$dir/cgroup" "$dir/mountinfo" || continue
		echo "process ${dir#/proc/} $(tr '\0\n' '  ' <"$dir/cmdline" 2>/dev/null)"
	done
}

# Cgroups of every hierarchy in which, and below which, nobody lives: the machine's own have processes for as long as they are.
empty_cgroups() {
	{
		grep -rsl --include=cgroup.procs . /sys/fs/cgroup
		echo
		find /sys/fs/cgroup -mindepth 1 -type d 2>/dev/null
	} | awk '
		$0 == "" { listing = 1; next }
		listing { if (!($0 in lived)) print; next }
		{ while (sub("/[^/]*$", "") && $0 != "") lived[$0] = 1 }'
}

# Mounts, cgroups, network namespaces and interfaces, processes, states of runtimes, temporary directories: one a line.
host_state() {
	local tmp=(/tmp)
	# an overlay shows what another machine, whose files are below, does meanwhile
	[ "$(stat -f -c %T /tmp)" != overlayfs ] || tmp=()
	{
		# criu mounts the host's cgroup2 once more, which takes its options away
		cut -d ' ' -f 4- /proc/self/mountinfo | sed 's/^/mount /; s/\( - cgroup2 [^ ]* rw\).*/\1/'
		empty_cgroups | sed 's/^/cgroup /'
		find /run/netns -mindepth 1 -printf 'network namespace %p\n' 2>/dev/null
		find /sys/class/net -mindepth 1 -printf 'network interface %f\n'
		find /run/hako /run/runc /run/crun -mindepth 1 -maxdepth 2 -printf 'state %p\n' 2>/dev/null
		find /run "${tmp[@]}" -maxdepth 1 \( -name 'hako-e2e-*' -o -name 'hako-clients-*' \) -printf 'directory %p\n'
		test_processes
	} | sort -u
}

# same_host_state FILE [SECONDS] : fails with what is on the host that wasn't when FILE was written, and with mounts and
# networks that have gone; what is on its way out gets half a minute, or so many seconds.
same_host_state() {
	local end=$((EPOCHSECONDS + ${2-30})) change
	while change=$(diff <(host_state) "$1" | sed -n 's/^< /left behind: /p; s/^> \(mount\|network\)/gone: \1/p'); [ -n "$change" ]; do
		[ $EPOCHSECONDS -lt $end ] || { echo "$change" && return 1; }
		sleep 1
	done
	echo "mounts, cgroups, network namespaces, interfaces and processes are as before"
}
