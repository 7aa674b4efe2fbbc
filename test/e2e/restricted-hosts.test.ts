// Hosts that lack something, or are full, as root and as an ordinary user who has no session: a run goes on without what it doesn't need, or says in
// one line what is missing and what gives it, and leaves nothing behind.
import { describe, expect } from "bun:test";
import { mkdirSync, readdirSync } from "node:fs";
import { Box, e2e, execute, HAKO, type Needs, needsHako, needsProgram, needsRoot } from "./support";

const needs: Needs[] = [needsRoot, needsHako, needsProgram("unshare"), needsProgram("setpriv")];
const UID = 54_321;
const USER = `setpriv --reuid ${UID} --regid ${UID} --clear-groups env -i "PATH=$PATH" HOME=/`;

/** What a run says on a host that is changed by a line of shell, for nobody else: root's and the user's. */
function runsOn(line: string, run = "run --rootfs / -- echo ran"): { root: string; user: string } {
  // state that goes there goes with it
  const asked = (as: string) => `cd /; ${tmpfs("/dev/shm", "mode=1777")}; ${line}; exec ${as} "$0" ${run}`;
  const said = (as: string) => {
    const words = ["--mount", "--propagation", "private", "sh", "-c", asked(as), HAKO];
    const { stdout, stderr } = execute("unshare", words);
    return `${stdout}${stderr}`;
  };
  return { root: said(`env -i "PATH=$PATH" HOME=/root`), user: said(USER) };
}

const tmpfs = (path: string, options: string) => `mount -t tmpfs -o ${options} tmpfs ${path}`;
const filled = (path: string) =>
  `${tmpfs(path, "size=64k,mode=1777")}; head -c 1M /dev/zero > ${path}/full 2>/dev/null`;
const RAN = /^ran\n$/;
const NO_CGROUPS =
  /^hako: .*: no devices controller .*\(no cgroups are mounted here: mount -t cgroup2 .*\)\n$/;
const FULL = /^hako: state directory \S+: write \S+: no space left on device \(.*see df .*\)\n$/;
const READ_ONLY = /^hako: state directory \S+: mkdir\w* \S+: read-only file system \(.*--root\)\n$/;
const EVERYWHERE = ["/run", "/tmp", "/dev/shm"];

describe("a run", () => {
  for (const [name, line, root, user] of [
    ["without /sys", "umount -l /sys", NO_CGROUPS, RAN],
    ["without cgroups", "umount -R -l /sys/fs/cgroup", NO_CGROUPS, RAN],
    ["with a read-only /sys", "mount -o remount,bind,ro /sys", RAN, RAN],
    ["where processes of others are hidden", "mount -t proc -o hidepid=2 proc /proc", RAN, RAN],
    ["where nothing is executed in /tmp", tmpfs("/tmp", "noexec,mode=1777"), RAN, RAN],
    ["where /tmp has no sticky bit, as an emptyDir", tmpfs("/tmp", "mode=777"), RAN, RAN],
    ["where /tmp is read-only", tmpfs("/tmp", "ro"), RAN, RAN],
    [
      "where nothing can be written",
      EVERYWHERE.map((path) => tmpfs(path, "ro")).join(";"),
      READ_ONLY,
      READ_ONLY,
    ],
    ["where all is full", EVERYWHERE.map(filled).join(";"), FULL, FULL],
  ] as const)
    e2e(
      name,
      () => {
        const said = runsOn(line);
        expect(said.root).toMatch(root);
        expect(said.user).toMatch(user);
      },
      needs,
    );

  e2e("where processes, files' sizes and descriptors are few", () => {
    const limited = (limit: string) =>
      execute("sh", ["-c", `cd /; exec ${USER} prlimit ${limit} "$0" run --rootfs / -- echo ran`, HAKO])
        .stderr;
    expect(limited("--nproc=1:1")).toMatch(/^hako: clone3?: .*\(RLIMIT_NPROC is 1 for user \d+; .*\)\n$/);
    expect(limited("--nproc=2:2")).toMatch(/^hako: the program's process: .*\(.*ulimit -u .*\)\n$/);
    expect(limited("--fsize=2000:2000")).toMatch(/: file too large \(.*raise ulimit -f\)\n$/);
    expect(limited("--nofile=16:16")).toMatch(/: too many open files \(.*raise ulimit -n\)\n$/);
    expect(readdirSync(`/tmp/hako-${UID}/hako`)).toEqual([]);
    execute("rm", ["-r", `/tmp/hako-${UID}`]);
  }, [...needs, needsProgram("prlimit")]);

  e2e(
    "whose changes don't fit leaves no directory of changes",
    () => {
      using box = new Box();
      const kept = box.path("kept");
      mkdirSync(kept, { recursive: true });
      const run = `"$0" --root ${box.root} run --rootfs / --write ${box.dir} --changes ${kept}/changes -- true`;
      const words = [
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        `${filled(kept)}; ${run}; ls ${kept}`,
      ];
      const { stdout, stderr } = execute("unshare", [...words, HAKO]);
      expect(stdout).toBe("full\n");
      expect(stderr).toMatch(/^hako: .*no space left on device.*\n$/);
    },
    needs,
  );
});

describe("check", () => {
  e2e(
    "says that root's containers need cgroups",
    () => {
      const { root, user } = runsOn("umount -R -l /sys/fs/cgroup", "check");
      expect(root).toMatch(/^cgroups +missing +.*mount -t cgroup2/m);
      expect(root).toEndWith("\nContainers can't run here: cgroups.\n");
      expect(user).toMatch(/^cgroups +absent +/m);
      expect(user).toMatch(/^This host can run containers/m);
    },
    needs,
  );
});
