# Sourced by scripts/test: what runs in other machines, beside everything that runs on this one.
# shellcheck shell=bash
# shellcheck disable=SC2154 # $out is test-report.sh's

lanes=()   # the groups of processes of `begin_lane`
besides=() # the names of the runs, the first is number 1

# beside NAME COMMAND... : a run of `bun test` for the lanes
beside() {
	besides+=("$1")
	shift
	printf '%q ' "$@" >"$out/beside-${#besides[@]}"
}

# Begins a lane: it runs what no other lane has taken, one after the other; a second one, from the other end.
begin_lane() {
	local numbers
	mapfile -t numbers < <(if [ ${#lanes[@]} = 0 ]; then seq ${#besides[@]}; else seq ${#besides[@]} -1 1; fi)
	# it ends with us, however we end
	# shellcheck disable=SC2016
	setsid setpriv --pdeathsig TERM bash -c 'trap "trap - TERM; kill 0" TERM
	out=$1
	shift
	for run; do
		mkdir "$out/beside-$run.taken" 2>/dev/null || continue
		date +%s >"$out/beside-$run.begun"
		bash "$out/beside-$run" >"$out/beside-$run.log" 2>&1 &
		wait $!
		echo $? >"$out/beside-$run.status"
	done' beside "$out" "${numbers[@]}" </dev/null &
	lanes+=($!)
}

# Helps with a second lane now that this machine has nothing else to do, waits for both, and shows and counts the runs.
collect_beside() {
	local run seconds
	begin_lane
	wait "${lanes[@]}"
	lanes=()
	for ((run = 1; run <= ${#besides[@]}; run++)); do
		seconds=$(($(stat -c %Y "$out/beside-$run.status") - $(cat "$out/beside-$run.begun")))
		heading "${besides[run - 1]}"
		cat "$out/beside-$run.log"
		count "${besides[run - 1]}" "$out/beside-$run.log" "$(cat "$out/beside-$run.status")"
		took "${besides[run - 1]}, beside the rest" "$seconds"
	done
}

# However the script ends, what runs beside it does.
end_lanes() {
	local lane
	for lane in "${lanes[@]}"; do kill -TERM -- "-$lane" 2>/dev/null; done
	[ ${#lanes[@]} = 0 ] || tail -n 20 "$out"/beside-*.log # what would be lost
}
