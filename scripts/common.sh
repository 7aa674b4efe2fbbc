# Sourced by the scripts beside it: development packages, and the build. The working directory is the repository.
# shellcheck shell=bash

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# npm, and node to run it, from Debian's packages where there is none: a fresh machine has neither.
install_node() {
	! command -v npm >/dev/null || return 0
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 0
	apt-get update -qq >/dev/null 2>&1
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null 2>&1
}

# Installs the development packages, and makes sure that Bun runs: npm may have been told not to run the
# installation scripts of packages, and then bun is a text file that asks for its own.
install_packages() {
	install_node
	command -v node >/dev/null || die "needs node 18 or newer"
	command -v npm >/dev/null || die "needs npm"
	if [ -f package-lock.json ]; then
		npm ci --no-fund --no-audit --loglevel=error || return 1
	else
		npm install --no-save --no-fund --no-audit --loglevel=error || return 1
	fi
	node_modules/.bin/bun --version >/dev/null 2>&1 || node node_modules/bun/install.js >/dev/null 2>&1
	node_modules/.bin/bun --version >/dev/null
}

# The packages are there and Bun runs; installs them if not.
need_packages() {
	node_modules/.bin/bun --version >/dev/null 2>&1 || install_packages || die "the packages can't be installed"
}

build_hako() {
	node_modules/.bin/bun run build.ts
}
