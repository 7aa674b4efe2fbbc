// What `hako run` tells of the end: a line when a limit was reached, TERM before KILL, and a report for programs.
import { describe, expect } from "bun:test";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { Box, busyboxRootfs, e2e, execute, HAKO, needsHako, needsProgram, SLEEP } from "./support";

/** Takes memory up to its limit. */
const GREEDY = ["tail", "/dev/zero"];

/** `run --rootfs` of a root file system with busybox; its end as --report has it. */
class Runs extends Box {
  constructor() {
    super();
    busyboxRootfs(this.path("root"));
  }

  command(flags: string[], command: string[]) {
    return this.hako("run", "--rootfs", this.path("root"), ...flags, "--", ...command);
  }

  reported(flags: string[], command: string[]) {
    const file = this.path("report");
    const { status, stderr } = this.command([...flags, "--report", file], command);
    return { status, stderr, ...JSON.parse(readFileSync(file, "utf8")) };
  }
}

describe("a limit that is reached is told", () => {
  e2e("of memory, also where a child was killed and the command went on @v2", () => {
    using box = new Runs();
    const limited = ["--memory", "16M"];
    const line = "hako: memory limit of 16M reached\n";
    expect(box.reported(limited, GREEDY)).toMatchObject({
      ...{ status: 137, exitCode: 137, signal: "SIGKILL", oomKilled: true, timedOut: false, stderr: line },
      hakoError: null,
    });
    const goesOn = ["sh", "-c", "tail /dev/zero 2> /dev/null; exit 4"];
    const { status, stderr } = box.command(limited, goesOn);
    expect(status).toBe(4);
    expect(stderr).toEndWith(line);
    expect(box.command([...limited, "--quiet"], GREEDY)).toMatchObject({ status: 137, stderr: "" });
    expect(box.command(limited, ["sh", "-c", "kill -9 $$"])).toMatchObject({ status: 137, stderr: "" });
  }, [needsHako]);

  e2e("of time", () => {
    using box = new Runs();
    const limited = ["--timeout", "300ms"];
    expect(box.command(limited, SLEEP)).toMatchObject({
      status: 124,
      stderr: "hako: time limit of 300ms reached\n",
    });
    expect(box.command([...limited, "-q"], SLEEP)).toMatchObject({ status: 124, stderr: "" });
    expect(box.command(["--timeout", "1m30s"], ["sh", "-c", "exit 124"])).toMatchObject({
      status: 124,
      stderr: "",
    });
    const bundle = box.bundle(SLEEP);
    expect(box.hako("run", "--bundle", bundle, ...limited, box.id())).toMatchObject({
      status: 124,
      stderr: "hako: time limit of 300ms reached\n",
    });
    expect(box.ok("list", "--quiet").stdout).toBe("");
  }, [needsHako]);

  e2e("in the log, too", () => {
    using box = new Runs();
    const log = box.path("log");
    const words = ["--log", log, "--log-format", "json", "run", "--rootfs", box.path("root")];
    const { stderr } = box.hako(...words, "--timeout", "200ms", "--", ...SLEEP);
    expect(stderr).toBe("hako: time limit of 200ms reached\n");
    expect(JSON.parse(readFileSync(log, "utf8"))).toMatchObject({ msg: "time limit of 200ms reached" });
  }, [needsHako]);
});

describe("--grace", () => {
  const timed = (grace: string) => ["--timeout", "1s", "--grace", grace];

  e2e("lets a shell's trap run, though the shell waits for another program", () => {
    using box = new Runs();
    const trap = "trap 'echo cleaned up; exit 7' TERM; sleep 600; echo not reached";
    const begun = performance.now();
    const file = box.path("report");
    const result = box.command([...timed("1m"), "--report", file], ["sh", "-c", trap]);
    expect(result).toMatchObject({ status: 124, stdout: "cleaned up\n" });
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({
      timedOut: true,
      exitCode: 7,
      signal: null,
    });
    expect(performance.now() - begun).toBeLessThan(40_000);
  }, [needsHako]);

  e2e("ends at once what has no handler, and kills at last what doesn't listen", () => {
    using box = new Runs();
    const begun = performance.now();
    const asked = box.reported(timed("1m"), SLEEP);
    expect(asked).toMatchObject({ status: 124, timedOut: true, exitCode: 143, signal: "SIGTERM" });
    expect(performance.now() - begun).toBeLessThan(40_000);
    const deaf = ["sh", "-c", "trap '' TERM; sleep 600 & wait; sleep 600"];
    const killed = box.reported(timed("700ms"), deaf);
    expect(killed).toMatchObject({ status: 124, timedOut: true, exitCode: 137, signal: "SIGKILL" });
    expect(killed.wallMs).toBeGreaterThan(1600);
    expect(box.ok("list", "--quiet").stdout).toBe("");
  }, [needsHako]);

  e2e("needs a time limit, and is a time", () => {
    using box = new Runs();
    for (const flags of [["--grace", "5s"], timed("soon"), timed("0s")])
      expect([flags, box.command(flags, ["true"]).status]).toEqual([flags, 2]);
  }, [needsHako]);
});

describe("--report", () => {
  e2e("says how it ended, and what it used @v2", () => {
    using box = new Runs();
    const id = box.id();
    const busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 20 & sleep 0.2; exit 3";
    const before = Date.now();
    const report = box.reported(["--name", id], ["sh", "-c", busy]);
    expect(report).toMatchObject({
      ...{ status: 3, stderr: "", id, exitCode: 3, signal: null, timedOut: false, hakoError: null },
      oomKilled: false,
    });
    expect(Math.abs(Date.parse(report.started) - before)).toBeLessThan(60_000);
    expect(report.wallMs).toBeGreaterThan(200);
    expect(report.cpuUserMs + report.cpuSystemMs).toBeGreaterThan(5);
    expect(report.cpuUserMs + report.cpuSystemMs).toBeLessThan(2 * report.wallMs + 100);
    // null where the kernel doesn't have the figure
    if (report.memoryPeakBytes !== null) expect(report.memoryPeakBytes).toBeGreaterThan(50_000);
    if (report.pidsPeak !== null) expect(report.pidsPeak).toBe(3);
    expect(box.reported([], ["sh", "-c", "sleep 600 & kill -9 $!; wait $!"])).toMatchObject({
      ...{ status: 137, exitCode: 137, signal: null, oomKilled: false },
    });
  }, [needsHako]);

  e2e("of a program that hako itself waits for, and of one that an attendant takes over", () => {
    using box = new Runs();
    for (const seconds of [0.05, 0.5]) {
      const { wallMs, ...told } = box.reported([], ["sh", "-c", `sleep ${seconds}; exit 3`]);
      expect(told).toMatchObject({ status: 3, exitCode: 3, timedOut: false, stderr: "" });
      expect(wallMs).toBeGreaterThan(900 * seconds);
    }
    for (const [limit, least] of [
      ["80ms", 70],
      ["600ms", 590],
    ] as const) {
      const { wallMs, ...told } = box.reported(["-q", "--timeout", limit], SLEEP);
      expect(told).toMatchObject({ status: 124, signal: "SIGKILL", timedOut: true });
      expect(wallMs).toBeGreaterThan(least);
    }
  }, [needsHako]);

  e2e("without cgroups, what the kernel says of the process", () => {
    using box = new Runs();
    const file = box.path("report");
    const words = ["--cgroup-manager", "disabled", "run", "--rootfs", box.path("root"), "--report", file];
    const busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
    expect(box.hako(...words, "--", "sh", "-c", busy).status).toBe(0);
    const report = JSON.parse(readFileSync(file, "utf8"));
    expect(report).toMatchObject({ exitCode: 0, oomKilled: null, memoryPeakBytes: null, pidsPeak: null });
    expect(report.cpuUserMs + report.cpuSystemMs).toBeGreaterThan(5);
  }, [needsHako]);

  e2e("a signal of the caller's is the program's", () => {
    using box = new Runs();
    const file = box.path("report");
    const call = ["--signal=TERM", "1", HAKO, "--root", box.root, "run", "--rootfs", "/", "--report", file];
    execute("timeout", [...call, "--", ...SLEEP]);
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({
      ...{ exitCode: 143, signal: "SIGTERM", timedOut: false, hakoError: null },
    });
  }, [needsHako, needsProgram("timeout")]);

  e2e("has hako's own failure, and the status of it", () => {
    using box = new Runs();
    const failures: [flags: string[], command: string, status: number, code: string][] = [
      [["--user", "nosuchuser"], "true", 125, "config"],
      [["--memory", "lots"], "true", 2, "usage"],
      [[], "nosuchprogram", 127, "command-not-found"],
      [[], "/etc", 126, "command-not-executable"],
      [["--preserve-fds", "40"], "true", 125, "system"],
    ];
    for (const [flags, command, status, code] of failures) {
      const { hakoError, stderr, ...others } = box.reported(flags, [command]);
      expect([command, flags, others]).toMatchObject([
        command,
        flags,
        { status, exitCode: null, started: null },
      ]);
      expect([command, flags, hakoError.code]).toEqual([command, flags, code]);
      expect(stderr).toStartWith(`hako: ${hakoError.message}`);
    }
    expect(box.hako("run", "--report", box.path("report"), "--bundle", "/no/such", box.id()).status).toBe(1);
    expect(JSON.parse(readFileSync(box.path("report"), "utf8")).hakoError.message).toContain("/no/such");
  }, [needsHako]);

  e2e("a descriptor is the caller's, and the program doesn't get it", () => {
    using box = new Runs();
    const file = box.path("by-number");
    const fd = openSync(file, "w");
    const list = 'for each in /proc/1/fd/*; do readlink "$each" || true; done';
    const words = ["run", "--rootfs", box.path("root"), "--report", "3", "--", "sh", "-c", list];
    const result = box.hakoWith({ extraFds: [fd] }, ...words);
    closeSync(fd);
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout).not.toContain("by-number");
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ exitCode: 0 });
    // beside the program's own output
    expect(JSON.parse(box.command(["--report", "1"], ["true"]).stdout)).toMatchObject({ exitCode: 0 });
    const bundle = box.bundle(["true"]);
    const ofBundle = box.hako("run", "--bundle", bundle, "--report", "2", box.id());
    expect(JSON.parse(ofBundle.stderr)).toMatchObject({ exitCode: 0, hakoError: null });
  }, [needsHako]);

  e2e("nothing runs whose end can't be reported", () => {
    using box = new Runs();
    const refused = (target: string, ...flags: string[]) => {
      const { status, stdout, stderr } = box.command(["--report", target, ...flags], ["echo", "ran"]);
      return { status, stdout, lines: stderr.split("\n").length - 1 };
    };
    const failed = { status: 125, stdout: "", lines: 1 };
    for (const target of ["/no/such/report", "/tmp", "77", "4000000000"])
      expect([target, refused(target)]).toEqual([target, failed]);
    expect(refused(box.path("report"), "--detach")).toEqual({ ...failed, status: 2 });
    writeFileSync(box.path("read-only"), "");
    const fd = openSync(box.path("read-only"), "r");
    const words = ["run", "--rootfs", box.path("root"), "--report", "3", "--", "echo", "ran"];
    expect(box.hakoWith({ extraFds: [fd] }, ...words)).toMatchObject({ status: 125, stdout: "" });
    closeSync(fd);
    expect(box.command(["--report", "/dev/full"], ["echo", "ran"])).toMatchObject({
      status: 125,
      stdout: "ran\n",
    });
    expect(box.ok("list", "--quiet").stdout).toBe("");
  }, [needsHako]);
});
