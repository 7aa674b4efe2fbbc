// Compiled seccomp filters are kept, and nothing that is kept changes what a container gets.
import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Home, NEEDS } from "./rootless-home";
import { Box, type BundleConfig, e2e, execute, HAKO, names, needsHako, type Result } from "./support";

const denyMkdir = {
  defaultAction: "SCMP_ACT_ALLOW",
  architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
  syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 }],
};

function profile(seccomp: object) {
  return (config: BundleConfig) => {
    Object.assign(config.linux, { seccomp });
  };
}

/**
 * Runs lines of shell where /run, and so the cache, is the test's own. `$CACHE` is its directory, `run N` runs the bundle,
 * `filter N` creates a container and prints what of its filter `exec` will take.
 */
function inOwnRun(box: Box, bundle: string, lines: string): Result {
  const script = `mount -t tmpfs -o mode=755 none /run
    hako() { "${HAKO}" --debug --root "${box.root}" "$@"; }
    run() { hako run --bundle "${bundle}" "${box.names}$1"; }
    filter() {
      hako create --bundle "${bundle}" "${box.names}$1" || exit 1
      sha256sum < "${box.root}/${box.names}$1/seccomp.bpf"
      hako delete --force "${box.names}$1" || exit 1
    }
    CACHE=/run/hako-seccomp
    ${lines}`;
  return execute("unshare", ["--mount", "--propagation", "private", "sh", "-c", script]);
}

/** What is said of the cache, a word for each time. */
function said({ stderr }: Result): string[] {
  return [...stderr.matchAll(/seccomp filter (found|broken|kept) in /g)].map(([, word]) => word ?? "");
}

e2e("the second container has the filter of the first, which is the same to the last byte", () => {
  using box = new Box();
  const bundle = box.bundle(["mkdir", "/tmp/x"], profile(denyMkdir));
  const result = inOwnRun(box, bundle, "filter 1; filter 2; run 3; ls $CACHE | wc -l; ls -l $CACHE /run");
  const [first, second, count] = result.stdout.split("\n");
  expect(second).toBe(first ?? "none");
  expect(said(result)).toEqual(["kept", "found", "found"]);
  expect(result.stderr).toContain("No space left on device");
  expect(count).toBe("1");
  expect(result.stdout).toContain("drwx------");
  expect(result.stdout).toContain("-rw-------");
  // it is no container, and the state directory ends as it did
  expect(names(box.root)).toEqual([]);
}, [needsHako]);

e2e("what a profile is warned of is said each time, and what is refused is refused each time", () => {
  using box = new Box();
  const rows = [{ names: ["mkdir", "mkdirr"], action: "SCMP_ACT_ERRNO" }];
  const warned = box.bundle(["true"], profile({ defaultAction: "SCMP_ACT_ALLOW", syscalls: rows }));
  const twice = inOwnRun(box, warned, "run 1; run 2");
  expect(said(twice)).toEqual(["kept", "found"]);
  expect(twice.stderr.match(/syscalls\/0\/names\/1: unknown system call \\?"mkdirr/g)?.length).toBe(2);
  const forbids = [{ names: ["execve"], action: "SCMP_ACT_ERRNO" }];
  const refused = box.bundle(["true"], profile({ defaultAction: "SCMP_ACT_ALLOW", syscalls: forbids }));
  const failed = inOwnRun(box, refused, "run 1; run 2; ls $CACHE");
  expect(said(failed)).toEqual([]);
  expect(failed.stderr.match(/no program could be started/g)?.length).toBe(2);
}, [needsHako]);

e2e("a filter that a program with no_new_privs can be started with is not one for others", () => {
  using box = new Box();
  const syscalls = [{ names: ["capset"], action: "SCMP_ACT_ERRNO" }];
  const change = (noNewPrivileges: boolean) => (config: BundleConfig) => {
    config.process.noNewPrivileges = noNewPrivileges;
    Object.assign(config.linux, { seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls } });
  };
  const right = box.bundle(["true"], change(true));
  const wrong = box.bundle(["true"], change(false));
  const result = inOwnRun(box, right, `run 1; hako run --bundle "${wrong}" "${box.names}2"`);
  expect(said(result)).toEqual(["kept"]);
  expect(result.stderr).toContain("the profile answers capset");
}, [needsHako]);

e2e("what is broken in the cache is compiled anew, and what belongs to others is left alone", () => {
  using box = new Box();
  const bundle = box.bundle(["mkdir", "/tmp/x"], profile(denyMkdir));
  const rows: [string, string, string[]][] = [
    ["cut off", "truncate -s 100 $CACHE/*", ["kept", "broken", "kept", "found"]],
    [
      "other bytes",
      "printf x | dd of=$(echo $CACHE/*) bs=1 seek=90 conv=notrunc",
      ["kept", "broken", "kept", "found"],
    ],
    ["another's file", "chown 12345 $CACHE/*", ["kept", "kept", "found"]],
    ["a link", "mv $CACHE/* /run/moved; ln -s /run/moved $CACHE/$NAME", ["kept", "kept", "found"]],
    ["a pipe", "rm $CACHE/*; mkfifo $CACHE/$NAME", ["kept", "kept", "found"]],
    ["another's directory", "chown 12345 $CACHE", ["kept"]],
    ["a directory that others write", "chmod 777 $CACHE", ["kept"]],
    ["a link to a directory", "mv $CACHE /run/moved; ln -s /run/moved $CACHE", ["kept"]],
    ["a file", "rm -r $CACHE; touch $CACHE", ["kept"]],
    ["a way that others write", "chmod 777 /run", ["kept"]],
    ["full", "mount -t tmpfs -o mode=700,size=4k none $CACHE; yes > $CACHE/full", ["kept"]],
    ["read-only", "rm $CACHE/*; mount -t tmpfs -o ro,mode=700 none $CACHE", ["kept"]],
    ["no /run", "umount -l /run; mount -t tmpfs -o ro none /run", ["kept"]],
  ];
  for (const [what, change, words] of rows) {
    const lines = `filter 1; NAME=$(ls $CACHE); (${change}) >/dev/null 2>&1; filter 2; filter 3; ls $CACHE/*.* 2>/dev/null`;
    const result = inOwnRun(box, bundle, lines);
    const [first, ...others] = result.stdout.trim().split("\n");
    expect([what, ...others]).toEqual([what, first ?? "", first ?? ""]);
    expect([what, ...said(result)]).toEqual([what, ...words]);
  }
}, [needsHako]);

e2e("containers that are made at once find a whole filter or none", () => {
  using box = new Box();
  const bundle = box.bundle(["mkdir", "/tmp/x"], (config) => {
    profile(denyMkdir)(config);
    // each has a cgroup of its own, of its id
    Reflect.deleteProperty(config.linux, "cgroupsPath");
  });
  const lines = `for n in $(seq 12); do (run $n || echo failed $n) & done; wait; ls $CACHE | wc -l; run 0`;
  const result = inOwnRun(box, bundle, lines);
  expect(result.stderr.match(/No space left on device/g)?.length).toBe(13);
  expect(said(result)).not.toContain("broken");
  expect(said(result).at(-1)).toBe("found");
  expect(result.stdout.trim().split("\n").at(-1)).toBe("1");
}, [needsHako]);

e2e("an ordinary user's filters are in XDG_RUNTIME_DIR, and root's are not taken from there", () => {
  using home = new Home();
  const bundle = home.bundle(["true"], profile(denyMkdir));
  const results = [1, 2].map(() => home.hako("--debug", "run", "--bundle", bundle, home.box.id()));
  expect(results.flatMap(said)).toEqual(["kept", "found"]);
  const directory = join(home.runtime, "hako-seccomp");
  const [name = ""] = names(directory);
  const file = join(directory, name);
  const before = readFileSync(file);
  const { box } = home;
  const own = box.bundle(["mkdir", "/tmp/x"], profile(denyMkdir));
  const line = `mount -t tmpfs none /run; XDG_RUNTIME_DIR="${home.runtime}" exec "${HAKO}" --debug --root "${box.root}" run --bundle "${own}" ${box.id()}`;
  const asRoot = execute("unshare", ["--mount", "--propagation", "private", "sh", "-c", line]);
  expect(said(asRoot)).not.toContain("found");
  expect(readFileSync(file)).toEqual(before);
}, [...NEEDS, needsHako]);
