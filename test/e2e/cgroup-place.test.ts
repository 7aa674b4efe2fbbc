// @cgroup-v2
// Where a container's cgroup is that nobody names: below the caller's own on v1, beside it on v2; and cgroups where none can be.
import { describe, expect } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { readLayout } from "../../src/cgroup";
import { give, Service } from "./service";
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
  needsUserNamespace,
  SLEEP,
  until,
} from "./support";

const { version, hierarchies } = readLayout();
const unified = hierarchies.find((hierarchy) => hierarchy.unified);
const needsUnified = unified === undefined ? "cgroup v2 is not mounted" : undefined;
const needsV2 = version === "v2" ? undefined : "cgroup v2 is not what limits here";
const USER = 12_345;
/** The cgroups of a process by hierarchy, "" is the unified one. */
function cgroupsOf(pid: number): Map<string, string> {
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n");
  return new Map(lines.map((line) => line.split(":").slice(1) as [string, string]));
}

const withoutPath = (config: BundleConfig) => {
  delete config.linux.cgroupsPath;
};

describe("without a cgroupsPath @v2", () => {
  e2e("a container is below the caller's cgroup on v1, beside it on v2, and goes with delete", async () => {
    using box = new Box();
    using service = new Service(box.names);
    const before = hostSnapshot(box.root);
    const id = box.id();
    const bundle = box.bundle(SLEEP, withoutPath);
    const made = service.run("/main", [HAKO, "--root", box.root, "create", "--bundle", bundle, id]);
    expect(made).toMatchObject({ status: 0, stderr: "" });
    const own = cgroupsOf(box.state(id).pid);
    for (const { name, unified: isUnified } of hierarchies) {
      expect([name, own.get(name)]).toEqual([name, `${service.path}${isUnified ? "" : "/main"}/${id}`]);
    }
    box.ok("delete", "--force", id);
    await expectUnchanged(before, box.root);
  });

  const pids = hierarchies.find(({ controllers }) => controllers.includes("pids"));
  e2e("the limits of the caller's cgroup are the container's too", () => {
    using box = new Box();
    using service = new Service(box.names);
    // hako's own threads are there too
    for (const dir of service.directories("/main")) {
      if (existsSync(join(dir, "pids.max"))) writeFileSync(join(dir, "pids.max"), "100");
    }
    const line = "for i in $(seq 100); do sleep 1 & done; echo all";
    const words = ["run", "--bundle", box.bundle(["sh", "-c", line], withoutPath), box.id()];
    const result = service.run("/main", [HAKO, "--root", box.root, ...words]);
    expect(result.stdout).toBe("");
    expect(result.stderr).toContain("can't fork");
  }, [pids === undefined ? "no pids controller on cgroup v1" : undefined]);

  e2e("a container whose record is broken is found where it would be made", async () => {
    using box = new Box();
    using service = new Service(box.names);
    const before = hostSnapshot(box.root);
    const hako = (...words: string[]) => service.run("/main", [HAKO, "--root", box.root, ...words]);
    const [id, elsewhere] = [box.id(), box.id()];
    const bundle = box.bundle(SLEEP, withoutPath);
    for (const each of [id, elsewhere]) {
      expect(hako("create", "--bundle", bundle, each)).toMatchObject({ status: 0 });
    }
    const { pid } = box.state(elsewhere);
    for (const each of [id, elsewhere]) writeFileSync(join(box.root, each, "state.json"), "{");
    expect(hako("delete", "--force", id)).toMatchObject({ status: 0 });
    // from another cgroup it isn't
    expect(box.ok("delete", "--force", elsewhere).stderr).toContain("its processes may be left");
    process.kill(pid, "SIGKILL");
    await until("it has gone", () => !existsSync(`/proc/${pid}`));
    for (const dir of [...service.directories("/main"), ...service.directories()]) {
      if (existsSync(join(dir, elsewhere))) rmdirSync(join(dir, elsewhere));
    }
    await expectUnchanged(before, box.root);
  }, [needsHako]);
});

/** A limit that cgroup v2 can have here, and the file that shows it. */
const LIMITS = [
  ["pids", { pids: { limit: 30 } }, "pids.max", "30"],
  ["hugetlb", { hugepageLimits: [{ pageSize: "2MB", limit: 4 << 20 }] }, "hugetlb.2MB.max", `${4 << 20}`],
] as const;

function limitHere(): (typeof LIMITS)[number] | undefined {
  if (unified === undefined || needsV2 !== undefined) return undefined;
  const offered = readFileSync(`${unified.mountpoint}/cgroup.controllers`, "utf8").trim().split(" ");
  return LIMITS.find(([controller]) => offered.includes(controller));
}

const limit = limitHere();

describe("cgroup v2, delegated to an ordinary user @v2", () => {
  const NEEDS = [needsHako, needsV2, needsProgram("setpriv"), needsUserNamespace];

  /** A box whose bundle, state directory and executable the user may use. */
  function home(box: Box): { hako: string; root: string; bundle: string } {
    chmodSync(box.dir, 0o755);
    const [hako, root, bundle] = ["hako", "user-state", "user-bundle"].map((name) => join(box.dir, name));
    if (hako === undefined || root === undefined || bundle === undefined) throw new Error("no paths");
    copyFileSync(HAKO, hako);
    chmodSync(hako, 0o755);
    for (const dir of [root, bundle]) mkdirSync(dir);
    busyboxRootfs(join(bundle, "rootfs"));
    execute("chown", ["-R", `${USER}:${USER}`, root, bundle]);
    asUser([hako, "spec", "--rootless", "--bundle", bundle]);
    const file = join(bundle, "config.json");
    const config = JSON.parse(readFileSync(file, "utf8")) as BundleConfig;
    config.process.args = SLEEP;
    config.process.terminal = false;
    config.linux.resources = { ...limit?.[1] };
    writeFileSync(file, JSON.stringify(config));
    return { hako, root, bundle };
  }

  const asUserWords = (words: string[]) => [
    "setpriv",
    ...["--reuid", `${USER}`, "--regid", `${USER}`, "--clear-groups"],
    ...words,
  ];
  const asUser = (words: string[]) => execute("env", asUserWords(words));

  function delegated(box: Box): Service {
    const service = new Service(box.names);
    for (const dir of [...service.directories(), ...service.directories("/main")]) give(dir, USER);
    for (const { mountpoint } of hierarchies)
      writeFileSync(join(mountpoint, "cgroup.subtree_control"), `+${limit?.[0]}`);
    return service;
  }

  e2e("limits hold: the container is beside the caller", async () => {
    using box = new Box();
    using service = delegated(box);
    const { hako, root, bundle } = home(box);
    const before = hostSnapshot(box.root);
    const id = box.id();
    const call = (...words: string[]) => service.run("/main", asUserWords([hako, "--root", root, ...words]));
    expect(call("create", "--bundle", bundle, id)).toMatchObject({ status: 0, stderr: "" });
    const [dir] = service.directories(`/${id}`);
    expect(readFileSync(`${dir}/${limit?.[2]}`, "utf8").trim()).toBe(limit?.[3] ?? "");
    expect(readFileSync(`${dir}/cgroup.procs`, "utf8").trim()).not.toBe("");
    expect(call("delete", "--force", id)).toMatchObject({ status: 0, stderr: "" });
    expect(existsSync(dir ?? "")).toBe(false);
    await expectUnchanged(before, box.root);
  }, [...NEEDS, limit === undefined ? "no controller of cgroup v2" : undefined]);

  e2e("a caller at the top of what is delegated is told what to do, and that helps", () => {
    using box = new Box();
    using service = delegated(box);
    const { hako, root, bundle } = home(box);
    const id = box.id();
    const words = asUserWords([hako, "--root", root, "create", "--bundle", bundle, id]);
    const refused = service.run("", words);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/^hako: [^\n]*\n$/);
    const [dir] = service.directories();
    const command = /move its processes to one below: ([^\n]*)\)\n$/.exec(refused.stderr)?.[1];
    expect(command).toStartWith(`mkdir ${dir}/main; `);
    // it is there already in this test
    const line = `${command?.replace(/^mkdir [^;]*; /, "")}; exec "$@"`;
    expect(
      service.run("", asUserWords(["sh", "-c", line, "sh", ...words.slice(words.indexOf(hako))])),
    ).toMatchObject({
      status: 0,
      stderr: "",
    });
    expect(asUser([hako, "--root", root, "delete", "--force", id])).toMatchObject({ status: 0 });
  }, [...NEEDS, limit === undefined ? "no controller of cgroup v2" : undefined]);
});

describe("cgroup v2 @v2", () => {
  e2e("at the top of a cgroup namespace: move the processes below, and limits hold", () => {
    using box = new Box();
    using service = new Service(box.names);
    for (const { mountpoint } of hierarchies) {
      const controller = `+${limit?.[0]}`;
      writeFileSync(join(mountpoint, "cgroup.subtree_control"), controller);
    }
    rmdirSync(service.directories("/main")[0] ?? "");
    const bundle = box.bundle(["true"], (config) => {
      withoutPath(config);
      Object.assign(config.linux.resources, limit?.[1]);
    });
    const words = [HAKO, "--root", box.root, "run", "--bundle", bundle];
    // a shell beside it, so that the cgroup isn't hako's alone
    const inside = (line: string) =>
      service.run("", [
        "unshare",
        "-mC",
        "sh",
        "-c",
        `umount /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; ${line}; echo $?`,
      ]);
    const refused = inside([...words, box.id()].join(" "));
    expect(refused.stdout).toBe("1\n");
    expect(refused.stderr).toContain("/sys/fs/cgroup holds processes itself");
    expect(refused.stderr).not.toContain("another cgroupsPath");
    const command = /controllers: move its processes to one below: ([^\n]*)\)\n$/.exec(refused.stderr)?.[1];
    expect(inside(`${command}; ${[...words, box.id()].join(" ")}`)).toMatchObject({
      stdout: "0\n",
      stderr: "",
    });
  }, [needsHako, needsV2, limit === undefined ? "no controller of cgroup v2" : undefined]);

  e2e("below a threaded cgroup none is made: it and the reason are named", async () => {
    using box = new Box();
    using service = new Service(box.names, unified === undefined ? [] : [unified.mountpoint]);
    const [top, main] = [service.directories()[0] ?? "", service.directories("/main")[0] ?? ""];
    writeFileSync(join(main, "cgroup.type"), "threaded");
    const before = hostSnapshot(box.root);
    const result = box.run(["true"], ({ linux }) => {
      linux.cgroupsPath = `${service.path}/below`;
    });
    expect(result).toMatchObject({ status: 1, stdout: "" });
    expect(result.stderr).toMatch(/^hako: [^\n]*\n$/);
    expect(result.stderr).toContain(`cgroup ${top}/below`);
    expect(result.stderr).toContain(`below ${top} of type "domain threaded"`);
    for (const dir of hierarchies.map(({ mountpoint }) => `${mountpoint}${service.path}`)) {
      if (dir !== top) rmSync(dir, { recursive: true, force: true });
    }
    await expectUnchanged(before, box.root);
  }, [needsHako, needsUnified]);
});
