// What the flags of the command line mean, as scripts for runc and crun write them.
import { describe, expect } from "bun:test";
import { closeSync, openSync, readFileSync, readlinkSync, renameSync } from "node:fs";
import { join } from "node:path";
import runCommand from "../../src/commands/run";
import { Box, busyboxRootfs, e2e, execute, executeLater, HAKO, isV2, needsHako, SLEEP } from "./support";

describe("an empty value is one that was not given", () => {
  e2e("of exec, update and kill", async () => {
    using box = new Box();
    const id = box.started(SLEEP, (config) => {
      config.process.user = { uid: 7, gid: 8 };
      config.process.cwd = "/tmp";
      config.linux.resources = { memory: { limit: 64 << 20 } };
    });
    const flags = ["--pid-file", "", "--process", "", "--cwd", "", "-u", "", "--console-socket", ""];
    expect(box.hako("exec", ...flags, id, "sh", "-c", "id -u; pwd")).toMatchObject({
      status: 0,
      stdout: "7\n/tmp\n",
      stderr: "",
    });
    expect(box.hako("exec", "--env", "", id, "true").status).not.toBe(0);
    box.ok("update", "-r", "", "--memory", "", "--cpuset-cpus=", "--pids-limit", "77", id);
    const events = JSON.parse(box.ok("events", "--stats", id).stdout);
    expect([events.data.pids.limit, events.data.memory.usage.limit]).toEqual([77, 64 << 20]);
    box.ok("kill", id, "");
    box.ok("kill", id, "KILL");
    await box.waitFor(id, "stopped");
  });

  e2e("of create, and the global ones", () => {
    using box = new Box();
    const id = box.id();
    const flags = ["--bundle", "", "--console-socket", "", "--pid-file="];
    const bundle = box.bundle(SLEEP);
    expect(box.hakoWith({ cwd: bundle }, "create", ...flags, id)).toMatchObject({ status: 0 });
    expect(box.state(id).bundle).toBe(bundle);
    expect(box.hako("--log", "", "--log-format", "", "--criu", "", "list", "--format", "").status).toBe(0);
    const root = execute(HAKO, ["--root", "", "--rootless", "", "list", "-q"], {
      env: { PATH: process.env.PATH ?? "" },
    });
    expect([root.status, root.stdout]).toEqual([0, execute(HAKO, ["list", "-q"]).stdout]);
  }, [needsHako]);

  e2e("but a limit of run --rootfs is refused, and a user", () => {
    using box = new Box();
    for (const flag of ["--memory", "--cpus", "--pids", "--timeout", "--user"])
      expect([flag, box.hako("run", "--rootfs", "/", flag, "", box.id(), "--", "true").status]).toEqual([
        flag,
        2,
      ]);
    expect(box.hako("run", "--rootfs", "", box.id(), "--", "true").status).not.toBe(0);
    expect(
      box.ok("run", "--rootfs", "/", "--workdir", "", "--network", "", box.id(), "--", "true").stderr,
    ).toBe("");
  }, [needsHako]);
});

e2e("run takes its flags before and after the id, and --", () => {
  using box = new Box();
  const bundle = box.bundle(["echo", "ran"]);
  const run = (...words: string[]) => box.hakoWith({ cwd: bundle }, "run", ...words);
  expect(run("--", box.id())).toMatchObject({ status: 0, stdout: "ran\n" });
  expect(run("-b", bundle, "--", box.id())).toMatchObject({ status: 0, stdout: "ran\n" });
  expect(box.hako("run", box.id(), "--bundle", bundle)).toMatchObject({ status: 0, stdout: "ran\n" });
  const id = box.id();
  expect(box.hako("run", id, "-d", "-b", box.bundle(SLEEP)).status).toBe(0);
  expect(box.state(id).status).toBe("running");
}, [needsHako]);

e2e("run --rootfs leaves what follows -- to the command, with an id before it or none", () => {
  using box = new Box();
  const run = (...words: string[]) => box.hako("run", ...words).stdout;
  const echo = ["echo", "-d", "--rootfs", "--help", "--"];
  const said = "-d --rootfs --help --\n";
  expect(run("--rootfs", "/", box.id(), "--", ...echo)).toBe(said);
  expect(run("--rootfs", "/", "--", ...echo)).toBe(said);
  expect(run("--rootfs", "/", "--name", box.id(), "--", ...echo)).toBe(said);
  expect(run(box.id(), "--rootfs", "/", "--pids", "50", "--", ...echo)).toBe(said);
  expect(run("--pids", "50", "--rootfs=/", "--", ...echo)).toBe(said);
}, [needsHako]);

e2e("every flag of run --rootfs changes what its command sees", () => {
  using box = new Box();
  const id = box.id();
  const words: Record<string, string[]> = {
    rootfs: ["--rootfs", box.path("root")],
    name: ["--name", box.id()],
    memory: ["--memory", "64M"],
    cpus: ["--cpus", "0.5"],
    pids: ["--pids", "77"],
    network: ["--network", "host"],
    env: ["--env", "GIVEN=given"],
    mount: ["--mount", "type=tmpfs,target=/tmp"],
    volume: ["--volume", "/etc:/tmp"],
    tmpfs: ["--tmpfs", "/tmp"],
    "cap-add": ["--cap-add", "NET_ADMIN"],
    "cap-drop": ["--cap-drop", "KILL"],
    device: ["--device", "/dev/null:/dev/given"],
    ulimit: ["--ulimit", "nofile=77"],
    user: ["--user", "7"],
    workdir: ["--workdir", "/usr"],
    "read-only": ["--read-only"],
    hostname: ["--hostname", "given"],
    tty: ["--tty"],
    "no-init": ["--no-init"],
    seccomp: ["--seccomp", "off"],
    hide: ["--hide", "/tmp"],
    write: ["--write", "/tmp"],
    protect: ["--protect", "/tmp"],
  };
  // a flag that is new needs its line here
  const { args = {} } = runCommand;
  const ofScripts = Object.keys(args).filter((name) => {
    const { description = "" } = args[name] ?? {};
    // what is written can't be kept of the host's root: e2e/image; what it has written comes to: e2e/changes; whose ids it has: e2e/userns, e2e/rootless; where it is weaker: e2e/in-container; whom it reaches, and who reaches it: e2e/filtered-network, e2e/policy-network; that there is no command: e2e/idle
    const elsewhere = [
      "keep-writes",
      "changes",
      "userns",
      "map-root",
      "weaker",
      "forward",
      "publish",
      "inject-header",
      "idle",
    ];
    if (elsewhere.includes(name)) return false;
    return description.startsWith("with --rootfs:") || name === "rootfs";
  });
  expect(ofScripts.sort()).toEqual(Object.keys(words).sort());
  busyboxRootfs(box.path("root"));
  const limit = isV2
    ? "memory.max cpu.max pids.max"
    : "memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us pids/pids.max";
  const line = `echo $$; id -u; pwd; uname -n; echo "$GIVEN"; ls / | tr '\\n' ' '; grep -wE 'Seccomp:|CapBnd:' /proc/self/status; ulimit -n; ls /dev
    test -t 0 && echo terminal; cd /sys/fs/cgroup; for file in ${limit}; do cat $file; done
    [ "$(readlink /proc/self/ns/net)" = "${readlinkSync("/proc/self/ns/net")}" ] && echo "the host's network"
    grep -E ' (/|/tmp) ' /proc/mounts | sed 's/lowerdir.*//'; true`;
  const seen = (name: string, flags: string[]) => {
    const rootfs = name === "rootfs" ? [] : ["--rootfs", "/"];
    const operand = name === "name" ? [] : [id];
    return box.ok("run", ...rootfs, ...flags, ...operand, "--", "sh", "-c", line).stdout;
  };
  const file = openSync("/etc/passwd", "r");
  const held = ["run", "--rootfs", "/", "--preserve-fds", "1", "--", "head", "-c", "5", "/proc/self/fd/3"];
  expect(box.hakoWith({ extraFds: [file] }, ...held)).toMatchObject({ status: 0, stdout: "root:" });
  closeSync(file);
  const plain = seen("", []);
  expect(seen("", [])).toBe(plain);
  for (const [name, flags] of Object.entries(words))
    expect([name, seen(name, flags)]).not.toEqual([name, plain]);
}, [needsHako]);

e2e("run --rootfs takes no command's name for an id", () => {
  using box = new Box();
  const hint = "hako run --rootfs DIR [--name ID] -- COMMAND";
  for (const words of [
    ["--rootfs", "/", "true", "true"],
    ["--rootfs", "/", "ls", "/"],
    ["--rootfs", "/", "ls", "-la"],
    ["--rootfs", "/", "true"],
    ["--rootfs", "/"],
    ["--rootfs", "/", "--name", "job", "true"],
    ["true", "--rootfs", "/", "true"],
    ["true", "--rootfs", "/"],
    ["--rootfs", "/", "sh", "-c", "true", "--", "x"],
    ["--rootfs", "/", "job", "--"],
    ["--rootfs", "/", "--"],
  ]) {
    const { status, stderr } = box.hako("run", ...words);
    expect([words, status]).toEqual([words, 2]);
    expect(stderr).toContain(hint);
    expect(stderr.trim().split("\n").length).toBe(1);
  }
  const run = (...words: string[]) => box.hako("run", ...words);
  expect(run("one", "two", "--rootfs", "/", "--", "true").stderr).toContain('unexpected operand "two"');
  expect(run("--rootfs", "/", "--name", "one", "two", "--", "true").stderr).toContain(
    'the id is "two" already',
  );
  for (const flags of [
    ["--bundle", "/"],
    ["--config", "/etc/passwd"],
  ])
    expect(run("--rootfs", "/", ...flags, "--", "true").stderr).toContain(
      "and --rootfs contradict each other",
    );
  expect(run("--name", "one", "--bundle", "/").stderr).toContain("--name needs --rootfs");
  expect(run("--bundle", "/").stderr).toContain("missing CONTAINER");
  expect(box.ok("list", "-q").stdout).toBe("");
}, [needsHako]);

e2e("an id of hako's own is there for a container that was given none", async () => {
  using box = new Box();
  const name = () => box.ok("run", "--rootfs", "/", "--", "uname", "-n").stdout.trim();
  expect(name()).toMatch(/^run-\d+(-[a-z0-9]{4})?$/);
  expect(name()).not.toBe(name());
  expect(box.ok("run", "--rootfs", "/", "-d", "--name", "job", "--", "true").stdout).toBe("");
  const ids = await Promise.all(
    [1, 2, 3, 4].map(() =>
      executeLater(HAKO, ["--root", box.root, "run", "-d", "--rootfs", "/", "--", ...SLEEP]),
    ),
  );
  const printed = ids.map(({ stdout }) => stdout.trim());
  expect(new Set(printed).size).toBe(4);
  for (const id of printed) expect(box.state(id).status).toBe("running");
  // a pid namespace counts from 1 anew: there the number alone would be another's too
  const inside = ["--fork", "--pid", "--mount-proc", HAKO, "--root", box.root];
  const run = ["run", "--rootfs", "/", "--", "uname", "-n"];
  const first = execute("unshare", [...inside, ...run]).stdout;
  expect(first).toMatch(/^run-\d+-[a-z0-9]{4}\n$/);
  expect(execute("unshare", [...inside, ...run]).stdout).not.toBe(first);
  for (const id of [...printed, "job"]) box.ok("delete", "--force", id);
}, [needsHako]);

e2e(
  "exec --no-new-privs=false is for a program that may gain privileges where the container's may not",
  () => {
    using box = new Box();
    const id = box.started(SLEEP, ({ process }) => {
      process.noNewPrivileges = true;
    });
    const gains = (...flags: string[]) =>
      box.ok("exec", ...flags, id, "grep", "NoNewPrivs", "/proc/self/status").stdout.trim();
    expect(gains()).toBe("NoNewPrivs:\t1");
    expect(gains("--no-new-privs=false")).toBe("NoNewPrivs:\t0");
    expect(gains("--no-new-privs=F")).toBe("NoNewPrivs:\t0");
    expect(gains("--no-new-privs=TRUE")).toBe("NoNewPrivs:\t1");
  },
);

e2e("what is wrong with a flag", () => {
  // podman asks so whether the runtime can restore into a pod
  const asked = execute(HAKO, ["restore", "--lsm-mount-context"]);
  expect(asked.status).not.toBe(0);
  expect(asked.stderr).toContain("flag needs an argument: --lsm-mount-context");
  expect(execute(HAKO, ["restore", "--tcp-close", "--bundle", "/no/such", "x"]).stderr).toContain("/no/such");
  expect(execute(HAKO, ["--debug=maybe", "list"]).stderr).toContain('--debug: "maybe"');
}, [needsHako]);

e2e("help COMMAND is COMMAND --help", () => {
  const text = (...words: string[]) => execute(HAKO, words);
  expect(text("help", "state")).toEqual(text("state", "--help"));
  expect(text("help", "cgroup")).toEqual(text("cgroup", "--help"));
  expect(text("help", "cgroup", "show")).toEqual(text("cgroup", "show", "--help"));
  expect(text("help")).toEqual(text("--help"));
  expect(text("help", "moon").status).toBe(2);
}, [needsHako]);

e2e("--rootless=true and false are no demand on what root makes", () => {
  using box = new Box();
  const bundle = box.bundle(["true"]);
  for (const value of ["true", "TRUE", "1", "false", "F", "auto"]) {
    const result = box.hako(`--rootless=${value}`, "run", "--bundle", bundle, box.id());
    expect({ value, status: result.status, stderr: result.stderr }).toEqual({ value, status: 0, stderr: "" });
  }
});

describe("what the fingers of docker's users say", () => {
  e2e("-it, -i, --rm, --name and values joined to their flags", () => {
    using box = new Box();
    const run = (...words: string[]) => box.hako("run", "--rootfs", "/", ...words);
    expect(run("-it", "--rm", "--name", box.id(), "--", "test", "-t", "0").status).toBe(0);
    expect(run("-i", "-eA=1", "-w/usr", "--", "sh", "-c", "echo $A; pwd").stdout).toBe("1\n/usr\n");
    const id = box.id();
    box.ok("run", "-dieB=2", "--rootfs", "/", "--name", id, "--", ...SLEEP);
    expect(box.hako("exec", "-ie", "A=1", id, "sh", "-c", "echo $A $B").stdout).toBe("1 2\n");
    expect(box.hako("exec", "-it", id, "test", "-t", "0").status).toBe(0);
    box.ok("delete", "--force", id);
    // what would be something else is not taken
    expect(run("--interactive=false", "--", "true")).toMatchObject({ status: 2 });
    expect(run("-i=false", "--", "true").stderr).toContain("standard input is always connected");
    expect(run("--rm=false", "--", "true").stderr).toContain("--keep keeps it");
    expect(run("--rm", "--keep", "--", "true").stderr).toContain("contradict each other");
    expect(run("--rm", "-d", "--", "true").stderr).toContain("hako delete ID does");
    expect(box.hako("run", "--rm", "-b", "/", box.id()).stderr).toContain("--rm needs --rootfs");
    expect(box.hako("exec", "-i=false", "x", "true").status).toBe(2);
    expect(box.ok("list", "-q").stdout).toBe("");
  }, [needsHako]);

  e2e("kill -9, -KILL, -s SIGNAL, for one container and several", async () => {
    using box = new Box();
    for (const words of [["-9"], ["-KILL"], ["-sigkill"], ["-s", "9"], ["-s9"], ["--signal", "KILL"]]) {
      const ids = [box.started(), box.started()];
      box.ok("kill", ...words, ...ids);
      for (const id of ids) await box.waitFor(id, "stopped");
    }
    const [one, two] = [box.started(), box.started()];
    // runc's order names one container
    const wrong = box.hako("kill", one, "KILL", two);
    expect(wrong).toMatchObject({ status: 2 });
    expect(wrong.stderr).toContain("the signal comes first");
    const unsaid = box.hako("kill", one, two);
    expect(unsaid).toMatchObject({ status: 2 });
    expect(unsaid.stderr).toContain("the signal comes first");
    // an empty id is one that is missing, and leaves the others
    expect(box.hako("kill", "-9", "none", "", two).stderr).toContain('container "none" does not exist');
    await box.waitFor(two, "stopped");
    expect(box.state(one).status).toBe("running");
    expect(box.hako("kill", "-95", one).status).toBe(2);
    box.ok("kill", one, "-9");
    await box.waitFor(one, "stopped");
  }, [needsHako]);

  e2e("update --cpus is a quota and its period", () => {
    using box = new Box();
    const id = box.started();
    box.ok("update", "--cpus", "0.25", id);
    const file = isV2 ? "cpu.max" : "cpu/cpu.cfs_quota_us";
    const seen = box.ok("exec", id, "cat", `/sys/fs/cgroup/${file}`).stdout;
    expect(seen).toBe(isV2 ? "25000 100000\n" : "25000\n");
    for (const words of [
      ["--cpus", "0"],
      ["--cpus", "some"],
      ["--cpus", "1", "--cpu-quota", "5000"],
    ])
      expect([words, box.hako("update", ...words, id).status]).toEqual([words, 2]);
    expect(box.ok("exec", id, "cat", `/sys/fs/cgroup/${file}`).stdout).toBe(seen);
  }, [needsHako]);
});

describe("crun's flags", () => {
  e2e("--config names a file in place of config.json", () => {
    using box = new Box();
    const bundle = box.bundle(["echo", "from another file"]);
    const file = box.path("other.json");
    renameSync(join(bundle, "config.json"), file);
    for (const words of [
      ["run", "-f", "other.json"],
      ["run", "--config", file],
    ]) {
      const result = box.hakoWith({ cwd: box.dir }, ...words, "--bundle", bundle, box.id());
      expect(result).toMatchObject({ status: 0, stdout: "from another file\n" });
    }
    const id = box.id();
    box.ok("create", "-f", file, "-b", bundle, id);
    expect(box.state(id)).toMatchObject({ bundle, status: "created" });
    box.ok("exec", id, "true");
    expect(box.hako("create", "-f", "/no/such", "-b", bundle, box.id()).stderr).toContain("open /no/such: ");
  }, [needsHako]);

  e2e("--log-level and --log file:PATH", () => {
    using box = new Box();
    const log = box.path("log");
    expect(box.hako("--log-level", "debug", "--log", `file:${log}`, "state", "none").status).toBe(1);
    expect(readFileSync(log, "utf8")).toContain("does not exist");
    const bundle = box.bundle(["true"]);
    const run = (level: string) => box.hako("--log-level", level, "run", "-b", bundle, box.id()).stderr;
    expect([run("error"), run("warning"), run("debug").includes(": started\n")]).toEqual(["", "", true]);
    const warned = box.bundle(["true"], (config) => {
      config.process.capabilities = {
        ...config.process.capabilities,
        inheritable: [],
        ambient: ["CAP_KILL"],
      };
      config.process.user = { uid: 1000, gid: 1000 };
    });
    const warnings = (level: string) => box.hako("--log-level", level, "run", "-b", warned, box.id()).stderr;
    expect([warnings("error"), warnings("warning").includes("CAP_KILL")]).toEqual(["", true]);
    expect(box.hako("--log-level", "loud", "list").status).toBe(2);
  }, [needsHako]);

  e2e("kill and delete --regex", async () => {
    using box = new Box();
    const ids = [box.started(), box.started(), box.started()];
    const [one = "", two = "", other = ""] = ids;
    box.ok("kill", "--regex", `^(${one}|${two})$`, "KILL");
    await box.waitFor(one, "stopped");
    await box.waitFor(two, "stopped");
    expect(box.state(other).status).toBe("running");
    const deleted = box.hako("delete", "-r", `^${box.names}`);
    expect([deleted.status, deleted.stderr.includes(other)]).toEqual([0, true]);
    expect(box.ok("list", "-q").stdout).toBe(`${other}\n`);
    box.ok("delete", "--force", "--regex", ".");
    expect(box.ok("list", "-q").stdout).toBe("");
    expect(box.hako("kill", "--regex", "(").status).toBe(2);
    expect(box.hako("kill", "--regex", "nobody").status).toBe(0);
  }, [needsHako]);
});
