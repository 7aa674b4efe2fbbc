// Containers of an ordinary user: no right of root's but through newuidmap and newgidmap.
import { expect } from "bun:test";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import {
  Box,
  type BundleConfig,
  busyboxRootfs,
  e2e,
  execute,
  expectUnchanged,
  HAKO,
  hostSnapshot,
  needsHako,
  needsProgram,
  type Result,
  until,
} from "./support";

const USER = 12_345;
const SUBORDINATE = 400_000;

const needsUserNamespaces = (() => {
  const limit = readFileSync("/proc/sys/user/max_user_namespaces", "utf8").trim();
  return limit === "0" ? "no user namespaces on this host" : undefined;
})();
const NEEDS = [needsHako, needsProgram("setpriv"), needsProgram("unshare"), needsUserNamespaces];
const NEEDS_MAPS = [...NEEDS, needsProgram("newuidmap"), needsProgram("newgidmap")];

/** A directory of the user's, a copy of hako that it may read, and a way to call it. */
class Home implements Disposable {
  readonly box = new Box();
  readonly hakoPath = join(this.box.dir, "hako");
  readonly runtime = join(this.box.dir, "runtime");

  constructor() {
    chmodSync(this.box.dir, 0o755);
    copyFileSync(HAKO, this.hakoPath);
    chmodSync(this.hakoPath, 0o755);
    mkdirSync(this.runtime);
    chownSync(this.runtime, USER, USER);
    writeFileSync(
      join(this.box.dir, "passwd"),
      `${readFileSync("/etc/passwd", "utf8")}tester:x:${USER}:${USER}::/:/bin/sh\n`,
    );
    writeFileSync(join(this.box.dir, "subids"), `tester:${SUBORDINATE}:65536\n`);
  }

  /** As the user, where /etc/subuid and /etc/subgid give it 65,536 ids. */
  hako(...args: string[]): Result {
    const files = [
      ["passwd", "/etc/passwd"],
      ["subids", "/etc/subuid"],
      ["subids", "/etc/subgid"],
    ];
    const binds = files
      .map(([from, to]) => `touch ${to}; mount --bind ${this.box.dir}/${from} ${to}`)
      .join("; ");
    const line = `${binds}; exec setpriv --reuid ${USER} --regid ${USER} --clear-groups "$@"`;
    const env = { PATH: process.env.PATH ?? "", XDG_RUNTIME_DIR: this.runtime };
    return execute("unshare", ["--mount", "sh", "-c", line, "sh", this.hakoPath, ...args], { env });
  }

  /** A bundle as `hako spec --rootless` makes it, but for the ids of this user. */
  bundle(args: string[], change: (config: BundleConfig) => void = () => {}): string {
    const dir = join(this.box.dir, `bundle-${readdirSync(this.box.dir).length}`);
    mkdirSync(dir);
    chownSync(dir, USER, USER);
    this.hako("spec", "--rootless", "--bundle", dir);
    busyboxRootfs(join(dir, "rootfs"));
    execute("chown", ["-R", `${USER}:${USER}`, dir]);
    const file = join(dir, "config.json");
    const config = JSON.parse(readFileSync(file, "utf8")) as BundleConfig;
    config.process.args = args;
    config.process.terminal = false;
    change(config);
    writeFileSync(file, JSON.stringify(config));
    return dir;
  }

  [Symbol.dispose](): void {
    const list = this.hako("list", "--quiet").stdout.trim().split("\n").filter(Boolean);
    for (const id of list) this.hako("delete", "--force", id);
    this.box[Symbol.dispose]();
  }
}

const MAPS = {
  uidMappings: [
    { containerID: 0, hostID: USER, size: 1 },
    { containerID: 1, hostID: SUBORDINATE, size: 65_536 },
  ],
  gidMappings: [
    { containerID: 0, hostID: USER, size: 1 },
    { containerID: 1, hostID: SUBORDINATE, size: 65_536 },
  ],
};

e2e(
  "one id: run, and nothing is left",
  async () => {
    using home = new Home();
    const before = hostSnapshot(join(home.runtime, "hako"));
    const line =
      "id -u; cat /proc/self/uid_map; cat /proc/self/setgroups; echo x > /dev/null; echo $$; touch /made; ls /sys | head -1";
    const bundle = home.bundle(["sh", "-c", line], (config) => {
      config.root.readonly = false;
    });
    const result = home.hako("run", "--bundle", bundle, home.box.id());
    expect([result.status, result.stdout.replaceAll(/ +/g, " ").split("\n").slice(0, 4)]).toEqual([
      0,
      ["0", ` 0 ${USER} 1`, "deny", "1"],
    ]);
    expect(statSync(join(bundle, "rootfs/made")).uid).toBe(USER);
    await expectUnchanged(before, join(home.runtime, "hako"));
  },
  NEEDS,
);

e2e(
  "create, start, exec, state, kill and delete; state is below XDG_RUNTIME_DIR",
  () => {
    using home = new Home();
    const id = home.box.id();
    expect(home.hako("create", "--bundle", home.bundle(["sleep", "600"]), id)).toMatchObject({ status: 0 });
    expect(readdirSync(join(home.runtime, "hako"))).toContain(id);
    // else it could be tidied up
    expect(statSync(join(home.runtime, "hako")).mode & 0o1000).toBe(0o1000);
    expect(home.hako("start", id).status).toBe(0);
    expect(JSON.parse(home.hako("state", id).stdout).status).toBe("running");
    const exec = home.hako("exec", id, "sh", "-c", "id -u; hostname; readlink /proc/self/ns/user; exit 4");
    expect(exec.status).toBe(4);
    expect(exec.stdout).toContain("0\n");
    expect(home.hako("kill", id, "KILL").status).toBe(0);
    expect(home.hako("delete", "--force", id).status).toBe(0);
  },
  NEEDS,
);

e2e(
  "exec: a directory of PATH that only the container's users may search; oomScoreAdj",
  () => {
    using home = new Home();
    const id = home.box.id();
    const bundle = home.bundle(["sleep", "600"], (config) => {
      Object.assign(config.linux, MAPS);
      config.process.oomScoreAdj = 300;
    });
    // of the container's user 1000: to the caller, who is its root outside, it is closed
    const closed = join(bundle, "rootfs/closed");
    mkdirSync(closed);
    writeFileSync(join(closed, "hidden"), "#!/bin/sh\necho hidden\n", { mode: 0o755 });
    execute("chown", ["-R", `${SUBORDINATE + 999}`, closed]);
    chmodSync(closed, 0o700);
    expect(home.hako("run", "--detach", "--bundle", bundle, id)).toMatchObject({ status: 0 });
    const exec = (...words: string[]) => home.hako("exec", "--env", "PATH=/closed:/bin", ...words);
    expect(exec(id, "cat", "/proc/self/oom_score_adj")).toMatchObject({ status: 0, stdout: "300\n" });
    expect(exec("--user", "1000:1000", id, "hidden")).toMatchObject({ status: 0, stdout: "hidden\n" });
    const last = (...words: string[]) => home.hako("exec", "--env", "PATH=/bin:/closed", ...words);
    expect(last("--user", "1000:1000", id, "hidden")).toMatchObject({ status: 0, stdout: "hidden\n" });
    for (const path of ["/closed:/bin", "/bin:/closed"]) {
      const none = home.hako("exec", "--user", "1000:1000", "--env", `PATH=${path}`, id, "none");
      expect(none.status).toBe(255);
      expect(none.stderr).toContain('exec: "none": executable file not found in $PATH');
    }
    const shut = home.hako("exec", "--user", "5:5", "--env", "PATH=/closed", id, "hidden");
    expect(shut.stderr).toContain('exec: "hidden": permission denied');
    expect(home.hako("delete", "--force", id).status).toBe(0);
  },
  NEEDS_MAPS,
);

e2e(
  "exec: the first process has changed its root",
  async () => {
    using home = new Home();
    const id = home.box.id();
    const bundle = home.bundle(["busybox", "chroot", "/jail", "sleep", "600"], (config) => {
      Object.assign(config.linux, MAPS);
      const names = [...(config.process.capabilities?.bounding ?? []), "CAP_SYS_CHROOT"];
      config.process.capabilities = { bounding: names, effective: names, permitted: names };
    });
    busyboxRootfs(join(bundle, "rootfs/jail"));
    writeFileSync(join(bundle, "rootfs/only"), "outside the jail\n");
    expect(home.hako("run", "--detach", "--bundle", bundle, id)).toMatchObject({ status: 0 });
    const { pid } = JSON.parse(home.hako("state", id).stdout);
    await until("the jail is entered", () =>
      readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("sleep"),
    );
    expect(home.hako("exec", id, "cat", "/only")).toMatchObject({
      status: 0,
      stdout: "outside the jail\n",
    });
  },
  NEEDS_MAPS,
);

e2e(
  "run --rootfs with a directory; the host's own root is refused by name",
  () => {
    using home = new Home();
    const rootfs = join(home.bundle(["true"]), "rootfs");
    const run = (...words: string[]) => home.hako("run", "--rootfs", ...words);
    const result = run(rootfs, "-e", "A=b", home.box.id(), "--", "sh", "-c", "echo $$ $A; id -u; exit 4");
    expect(result).toMatchObject({ status: 4, stdout: "1 b\n0\n" });
    expect(run("/", home.box.id(), "--", "true")).toMatchObject({ status: 1, stdout: "" });
    expect(run("/", home.box.id(), "--", "true").stderr).toContain("--rootfs / needs root");
  },
  NEEDS,
);

e2e(
  "without a pid namespace and a cgroup, kill and kill --all reach the first process",
  async () => {
    using home = new Home();
    for (const words of [["TERM"], ["KILL"], ["--all", "KILL"], ["--all", "9"]]) {
      const id = home.box.id();
      const line = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
      const bundle = home.bundle(["sh", "-c", line], (config) => {
        config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "pid");
        const proc = config.mounts.find(({ type }) => type === "proc");
        Object.assign(proc ?? {}, { type: "bind", source: "/proc", options: ["rbind"] });
      });
      expect(home.hako("run", "--detach", "--bundle", bundle, id)).toMatchObject({ status: 0 });
      const [first = "", second] = words;
      const operands = second === undefined ? [id, first] : [first, id, second];
      expect(home.hako("kill", ...operands)).toMatchObject({ status: 0 });
      await until(`${id} has ended`, () => JSON.parse(home.hako("state", id).stdout).status === "stopped");
      expect(home.hako("kill", "--all", id, "KILL").status).toBe(0);
      expect(home.hako("delete", id).status).toBe(0);
    }
  },
  NEEDS,
);

e2e(
  "subordinate ids by newuidmap and newgidmap",
  () => {
    using home = new Home();
    const bundle = home.bundle(
      ["sh", "-c", "cat /proc/self/uid_map; id -u; id -G; touch /tmp/x; stat -c %u /tmp/x"],
      (config) => {
        Object.assign(config.linux, MAPS);
        config.process.user = { uid: 1000, gid: 1000, additionalGids: [5] };
        config.mounts.push({ destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["mode=1777"] });
      },
    );
    const result = home.hako("run", "--bundle", bundle, home.box.id());
    expect([result.status, result.stderr.replace(/^.*warn.*$/gim, "").trim()]).toEqual([0, ""]);
    expect(result.stdout.replaceAll(/ +/g, " ")).toBe(
      ` 0 ${USER} 1\n 1 ${SUBORDINATE} 65536\n1000\n1000 5\n1000\n`,
    );
  },
  NEEDS_MAPS,
);

e2e(
  "what an ordinary user can't have is named",
  () => {
    using home = new Home();
    const id = home.box.id();
    const rows: [(config: BundleConfig) => void, RegExp][] = [
      [
        (config) => {
          config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "user");
          config.linux.uidMappings = [];
          config.linux.gidMappings = [];
        },
        /config \/linux\/namespaces: a rootless container needs/,
      ],
      [
        (config) => {
          config.linux.uidMappings = [{ containerID: 0, hostID: 0, size: 10 }];
        },
        /config \/linux\/uidMappings: .*newuidmap/,
      ],
      [
        (config) => {
          config.linux.resources = { memory: { limit: 64 << 20 } };
        },
        /\/linux\/resources\/memory\/limit: no memory controller for this container: .*\(limits need a cgroup/,
      ],
    ];
    for (const [change, expected] of rows) {
      const result = home.hako("create", "--bundle", home.bundle(["true"], change), id);
      expect(result.status).toBe(1);
      expect(result.stderr).toMatch(expected);
      expect(home.hako("state", id).status).toBe(1);
    }
    expect(home.hako("--rootless=false", "create", "--bundle", home.bundle(["true"]), id).stderr).toContain(
      "--rootless=false",
    );
    expect(home.hako("--rootless=maybe", "list").status).toBe(2);
  },
  NEEDS_MAPS,
);

e2e(
  "an executable that the user may write is copied and sealed first",
  () => {
    using home = new Home();
    chownSync(home.hakoPath, USER, USER);
    const bundle = home.bundle(["sh", "-c", "true"]);
    expect(home.hako("run", "--bundle", bundle, home.box.id()).status).toBe(0);
  },
  NEEDS,
);
