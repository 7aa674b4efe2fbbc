// What the flags of the command line mean, as scripts for runc and crun write them.
import { describe, expect } from "bun:test";
import { Box, e2e, execute, HAKO, needsHako, SLEEP } from "./support";

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

e2e("run --rootfs leaves what follows its operand to the command", () => {
  using box = new Box();
  const run = (...words: string[]) => box.hako("run", ...words).stdout;
  const echo = ["echo", "-d", "--rootfs", "--help"];
  expect(run("--rootfs", "/", box.id(), "--", ...echo)).toBe("-d --rootfs --help\n");
  expect(run("--rootfs", "/", box.id(), ...echo)).toBe("-d --rootfs --help\n");
  expect(run(box.id(), "--rootfs", "/", "--pids", "50", "--", ...echo)).toBe("-d --rootfs --help\n");
  expect(run(box.id(), "--rootfs=/", "--pids", "50", ...echo)).toBe("-d --rootfs --help\n");
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
