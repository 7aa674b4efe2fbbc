# Sourced by scripts/test: the programs that the tests call.
# shellcheck shell=bash
# shellcheck disable=SC2154 # $out is test-report.sh's

# Debian's packages that tests call: other runtimes, clients, tools.
PACKAGES=(
	runc crun criu
	docker.io containerd tini
	podman conmon buildah distrobox umoci skopeo catatonit slirp4netns fuse-overlayfs uidmap
	dbus dbus-user-session systemd
	qemu-system-x86
	gcc libc6-dev
	busybox-static bsdutils iproute2 jq libseccomp2 procps shellcheck socat strace util-linux
)

# What the end-to-end tests call. What can't be installed makes them skip, and they say so.
install_programs() {
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "no apt-get, or not root: tests that lack a program are skipped"
		return
	fi
	local missing=() package
	for package in "${PACKAGES[@]}"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
	done
	[ ${#missing[@]} != 0 ] || return 0
	apt-get update -qq >/dev/null 2>&1
	install_quietly "${missing[@]}" && return
	for package in "${missing[@]}"; do # one that can't be had must not keep the others away
		install_quietly "$package" || echo "$package could not be installed: tests that need it are skipped"
	done
}

# Nothing that is there is removed for it (another dockerd), and no service is started: tests have daemons of their own.
install_quietly() {
	local policy=/usr/sbin/policy-rc.d made="" status
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && made=1
	fi
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --no-remove \
		-o DPkg::Lock::Timeout=600 "$@" >/dev/null 2>&1
	status=$?
	[ -z "$made" ] || rm $policy
	return $status
}

# docker's default seccomp profile is compiled into dockerd: its sources hold it as a file.
docker_profile() {
	(
		cd "$out" && mkdir -p docker && chmod 777 docker && cd docker &&
			apt-get download -qq golang-github-docker-docker-dev >/dev/null 2>&1 &&
			dpkg-deb --fsys-tarfile ./*.deb | tar -xOf - --wildcards '*/profiles/seccomp/default.json' >default.json
	) && export HAKO_DOCKER_PROFILE=$out/docker/default.json ||
		echo "docker's seccomp profile could not be had: its test is skipped"
}
