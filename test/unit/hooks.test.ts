import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runHooks, runLenientHooks } from "../../src/hooks/hooks";
import { callerOpenFiles, getLimit } from "../../src/linux/process/rlimit";
import type { Hook } from "../../src/oci/config";
import { withWarnings } from "./warnings";

const dir = mkdtempSync(join(tmpdir(), "hako-hooks-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const state = { ociVersion: "1.3.0", id: "a", status: "creating", pid: 1, bundle: "/b", annotations: {} };
const context = { state, cwd: dir };

function shell(line: string, more: Partial<Hook> = {}): Hook {
  return { path: "/bin/sh", args: ["sh", "-c", line], env: ["PATH=/usr/bin:/bin"], ...more } as Hook;
}

describe("hooks", () => {
  test("without an environment of its own it has the caller's, but not with an empty one", () => {
    const line = "env > seen";
    runHooks("prestart", { prestart: [shell(line, { env: undefined })] }, context);
    // dash adds PWD
    const seen = readFileSync(join(dir, "seen"), "utf8").trim().split("\n");
    const callers = readFileSync("/proc/self/environ", "utf8").split("\0");
    expect(callers).toEqual(expect.arrayContaining(seen.filter((each) => /^(PATH|HOME|USER)=/.test(each))));
    expect(seen.some((each) => each.startsWith("PATH="))).toBe(true);
    runHooks("prestart", { prestart: [shell("/usr/bin/env > seen", { env: [] })] }, context);
    expect(readFileSync(join(dir, "seen"), "utf8")).toMatch(/^(PWD=.*\n)?$/);
  });

  test("state on standard input; name, environment, directory, limits, no descriptors of ours", () => {
    const line =
      "cat > state; echo $0 > zero; env | sort > env; pwd > cwd; ulimit -Sn > limit; ls /proc/self/fd > fds";
    const hook = shell(line, {
      args: ["myname", "-c", line],
      env: ["PATH=/usr/bin:/bin", "A=b=c", "EMPTY="],
    });
    runHooks("prestart", { prestart: [hook] }, context);
    const read = (name: string) => readFileSync(join(dir, name), "utf8").trim();
    expect(JSON.parse(read("state"))).toEqual(state);
    expect(read("zero")).toBe("myname");
    expect(read("env")).toContain("A=b=c\nEMPTY=\n");
    expect(read("env")).not.toContain("HOME=");
    expect(read("cwd")).toBe(dir);
    // where the caller cannot be asked (in an outer pid namespace), hooks have this process's
    const { soft } = getLimit(process.pid, "RLIMIT_NOFILE");
    expect(read("limit")).toBe(String(callerOpenFiles() ?? soft));
    expect(read("fds").split("\n").map(Number)).toEqual([0, 1, 2, 3]);
  });

  test("where its directory has gone it runs where we are", () => {
    runHooks("poststop", { poststop: [shell(`pwd > ${dir}/cwd`)] }, { ...context, cwd: `${dir}/gone` });
    expect(readFileSync(join(dir, "cwd"), "utf8").trim()).toBe(process.cwd());
  });

  const rows: [string, Hook, string][] = [
    ["status", shell("echo out; echo err >&2; exit 9"), "exited with status 9: err"],
    ["signal", shell("kill -9 $$"), "was killed by SIGKILL"],
    ["missing", { path: "/no/such/hook" } as Hook, "no such file or directory"],
    ["not executable", { path: "/etc/passwd" } as Hook, "permission denied"],
    ["slow", shell("sleep 20", { timeout: 1 }), "ended after its timeout of 1 s"],
  ];
  for (const [name, hook, why] of rows) {
    test(name, () => {
      const run = () => runHooks("createRuntime", { createRuntime: [shell("true"), hook] }, context);
      expect(run).toThrow(`config /hooks/createRuntime/1: hook ${hook.path}: ${why}`);
    });
  }

  test("the first failure ends them; lenient ones go on", () => {
    const hooks = { poststop: [shell("exit 1"), shell("echo x > second")] };
    expect(() => runHooks("poststop", hooks, context)).toThrow("status 1");
    expect(() => readFileSync(join(dir, "second"))).toThrow();
    const { warnings } = withWarnings(() => runLenientHooks("poststop", hooks, context));
    expect(warnings.length).toBe(1);
    expect(readFileSync(join(dir, "second"), "utf8")).toBe("x\n");
  });

  test("a hook need not read the state", () => {
    runHooks(
      "prestart",
      { prestart: [shell("exec <&-; true")] },
      { ...context, state: { ...state, bundle: "x".repeat(200_000) } },
    );
  });
});
