# Sourced by scripts/test: runs steps, adds up what passed and failed, and tells it at the end.
# shellcheck shell=bash

passed=0 failed=0 skipped=0
failures=()
timing=()

# Makes $out, the directory of everything that is written down meanwhile.
begin_report() {
	begun=$EPOCHSECONDS
	out=$(mktemp -d /tmp/hako-test.XXXXXX)
	chmod 755 "$out"
	trap 'end_lanes; rm -rf "$out"' EXIT
}

# begin PART : what follows, up to the next one or to `ended`, is counted as its time
part=
begin() {
	ended
	part=$1 part_begun=$EPOCHSECONDS
}
ended() {
	[ -z "$part" ] || took "$part" $((EPOCHSECONDS - part_begun))
	part=
}

took() { timing+=("$(printf '%6d s  %s' "$2" "$1")"); } # NAME SECONDS

heading() { printf '\n== %s\n' "$*"; }

skip() { # NAME WHY
	echo "skipped: $1: $2"
	skipped=$((skipped + 1))
}

fail() { # NAME WHY
	failed=$((failed + 1))
	failures+=("$1")
	quote "$1" "$2"
}

# check NAME COMMAND... : one step that passes or fails
check() {
	local name=$1
	shift
	heading "$name"
	if "$@" 2>&1 | tee "$out/log"; then
		passed=$((passed + 1))
	else
		fail "$name" "$(tail -n 25 "$out/log")"
	fi
}

# quote NAME TEXT : what the end of the whole output repeats of a failure, for whoever is shown that alone
quote() {
	printf -- '-- %s\n%s\n' "$1" "$2" >>"$out/failed"
}

# failed_tests LOG : the first failed tests of a run of `bun test`, each with what was printed before it
failed_tests() {
	awk '
		{ lines[NR] = $0 }
		/^\((pass|skip|todo)\) / || /^[^ ].*\.test\.ts:\r*$/ { begin = NR + 1 }
		/^[0-9]+ tests? (failed|skipped):\r*$/ { exit }
		/^\(fail\) / && ++failed <= 5 {
			if (begin < NR - 40) begin = NR - 40
			for (; begin <= NR; begin++) print lines[begin]
		}' "$1"
}

# count NAME LOG STATUS : adds the summary of a run of `bun test` up
count() {
	local name=$1 log=$2 status=$3 count
	[ "$status" != 0 ] || ! grep -q '^error: regex .* matched 0 tests' "$log" || return 0
	number() { sed -n "s/^ *\([0-9][0-9]*\) $1\r*\$/\1/p" "$log" | tail -n 1; }
	passed=$((passed + $(number pass || true) + 0))
	skipped=$((skipped + $(number skip || true) + 0))
	count=$(number fail)
	# a run that ended before its summary, or that failed outside of a test, is a failure too
	if [ -z "$count" ] || { [ "$status" != 0 ] && [ "$count" = 0 ]; }; then
		fail "$name: ended with status $status" "$(tail -n 25 "$log")"
	elif [ "$count" != 0 ]; then
		fail "$name: $count" "$(failed_tests "$log")"
		failed=$((failed + count - 1))
	fi
}

# bun_test NAME COMMAND... : a run of `bun test`; its own summary is added up
bun_test() {
	local name=$1
	shift
	heading "$name"
	"$@" 2>&1 | tee "$out/log"
	count "$name" "$out/log" "${PIPESTATUS[0]}"
}

# unmarked_tests LOG : of a run of `bun test` without cgroup v2, those that were skipped for that, and that would not run where it
# is: neither their names nor those of their groups say @v2
unmarked_tests() {
	awk '
		/^skipped: / { why[++reasons] = $0 }
		/^\(skip\) / && !/@v2/ && !seen[$0]++ {
			name = $0
			sub(/^\(skip\) (.* > )?/, "", name)
			for (i = 1; i <= reasons; i++) {
				begin = "skipped: " name ": "
				if (index(why[i], begin) == 1 && substr(why[i], length(begin)) ~ /v2/) print why[i]
			}
		}' "$1"
}

# The end of the output: how long each part took, what failed and why, the sum. Ends the script.
end_report() {
	ended
	heading "timing"
	printf '%s\n' "${timing[@]}"
	printf '%6d s  in all\n' $((EPOCHSECONDS - begun))
	if [ ${#failures[@]} != 0 ]; then
		heading "failed"
		printf '%s\n' "${failures[@]}"
		[ ! -f "$out/failed" ] || sed 's/^/  /' "$out/failed"
	fi
	echo
	echo "$passed passed, $failed failed, $skipped skipped"
	exit $((failed != 0))
}
