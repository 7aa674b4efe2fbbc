import { describe, expect, test } from "bun:test";
import { parseDuration } from "../../src/base/duration";
import { execProcess, lostCapabilities } from "../../src/container/exec-spec";
import { selected } from "../../src/container/ps";
import { changesOf } from "../../src/container/update-values";
import type { Process } from "../../src/oci/config";
import { withWarnings } from "./warnings";

describe("durations", () => {
  const rows: [string, number | undefined][] = [
    ["5s", 5000],
    ["500ms", 500],
    ["1m30s", 90_000],
    ["1.5h", 5_400_000],
    ["0s", 0],
    ["5", undefined],
    ["", undefined],
    ["-1s", undefined],
    ["5s ", undefined],
  ];
  for (const [text, expected] of rows)
    test(JSON.stringify(text), () => expect(parseDuration(text)).toBe(expected));
});

describe("ps", () => {
  test("keeps the rows of the processes, wherever the column is", () => {
    const table = "USER   PID CMD\nroot     1 init\nroot    12 sh\nwww    112 1\n";
    expect(selected(table, new Set([12, 112]))).toBe("USER   PID CMD\nroot    12 sh\nwww    112 1\n");
  });
  test("a table without the column is refused", () => {
    expect(() => selected("CMD\nsh\n", new Set([1]))).toThrow("no column PID");
  });
});

describe("update", () => {
  test("flags become resources", () => {
    const flags = {
      memory: "64M",
      "memory-swap": "-1",
      "cpu-share": "512",
      "cpuset-cpus": "0-1",
      "pids-limit": "0",
      "blkio-weight": "500",
    };
    const given = { ...flags, "mem-bw-schema": "MB:0=20" };
    expect(withWarnings(() => changesOf(undefined, given))).toEqual({
      result: {
        resources: {
          memory: { limit: 67108864, swap: -1 },
          cpu: { shares: 512, cpus: "0-1" },
          pids: { limit: 0 },
          blockIO: { weight: 500 },
        },
        schemas: { "mem-bw-schema": "MB:0=20" },
      },
      warnings: [],
    });
    expect(changesOf(undefined, {})).toEqual({ resources: {}, schemas: {} });
    expect(changesOf(undefined, { memory: "9223372036854775807" }).resources).toEqual({
      memory: { limit: 9223372036854775807n },
    });
  });
  test("what is no number is refused", () => {
    expect(() => changesOf(undefined, { "cpu-share": "5k" })).toThrow('--cpu-share: "5k" is not a number');
    expect(() => changesOf(undefined, { memory: "lots" })).toThrow('--memory: "lots" is not a size');
    expect(() => changesOf(undefined, { memory: "-2", "cpu-quota": "-1" })).toThrow(
      "--memory: expected a number from -1 to 9223372036854775807, got -2",
    );
    expect(() => changesOf(undefined, { "cpu-share": "-1" })).toThrow("--cpu-share: expected a number");
    expect(() => changesOf(undefined, { "blkio-weight": "65536" })).toThrow("--blkio-weight: expected");
  });
});

describe("exec", () => {
  const values = {
    process: undefined,
    tty: false,
    cwd: undefined,
    env: [],
    user: undefined,
    "additional-gids": [],
    cap: [],
    "no-new-privs": false,
    apparmor: undefined,
    "process-label": undefined,
  };
  const own: Process = {
    cwd: "/srv",
    args: ["web"],
    env: ["A=1"],
    user: { uid: 1, gid: 2, additionalGids: [3] },
    terminal: true,
    capabilities: { bounding: ["CAP_KILL"], inheritable: ["CAP_KILL"], ambient: ["CAP_KILL"] },
  };
  test("a line of the environment has a name", () => {
    const withLine = (word: string) => execProcess({ ...values, env: [word] }, ["ls"], own, "/").env;
    expect(withLine("B=")).toEqual(["A=1", "B="]);
    expect(() => withLine("=x")).toThrow('--env "=x": expected NAME=value');
    expect(() => withLine("")).toThrow('--env "": is not NAME=value');
  });
  test("is the container's own process with another command, without its terminal", () => {
    expect(execProcess(values, ["ls"], own, "/")).toMatchObject({ ...own, args: ["ls"], terminal: false });
  });
  test("--cap leaves the inheritable and ambient sets alone", () => {
    const { capabilities } = execProcess({ ...values, cap: ["sys_time,CAP_CHOWN"] }, ["ls"], own, "/");
    expect(capabilities).toEqual({
      bounding: ["CAP_KILL", "CAP_SYS_TIME", "CAP_CHOWN"],
      effective: ["CAP_SYS_TIME", "CAP_CHOWN"],
      permitted: ["CAP_SYS_TIME", "CAP_CHOWN"],
      inheritable: ["CAP_KILL"],
      ambient: ["CAP_KILL"],
    });
  });
  test("--cap makes ambient what is inheritable", () => {
    const inheriting = { ...own, capabilities: { inheritable: ["CAP_CHOWN", "CAP_KILL"] } };
    const { capabilities } = execProcess({ ...values, cap: ["CHOWN,SYSLOG"] }, ["ls"], inheriting, "/");
    expect(capabilities).toMatchObject({
      permitted: ["CAP_CHOWN", "CAP_SYSLOG"],
      inheritable: ["CAP_CHOWN", "CAP_KILL"],
      ambient: ["CAP_CHOWN"],
    });
  });
  test("what config.json can't make ambient is asked for no more", () => {
    const capabilities = {
      permitted: ["CAP_KILL"],
      inheritable: ["cap_chown"],
      ambient: ["CAP_CHOWN", "CAP_KILL"],
    };
    const process = execProcess(values, ["ls"], { ...own, capabilities }, "/");
    expect(process.capabilities?.ambient).toEqual(["CAP_CHOWN"]);
  });
  test("another user than root loses what of --cap is not ambient", () => {
    const lost = (uid: number, ambient: string[]) =>
      lostCapabilities(
        { cap: ["kill,CAP_CHOWN"] },
        { ...own, user: { uid, gid: 0 }, capabilities: { ambient } },
      );
    expect(lost(0, [])).toEqual([]);
    expect(lost(1000, ["CAP_CHOWN"])).toEqual(["CAP_KILL"]);
  });
  test("a command is needed, and a file excludes flags", () => {
    expect(() => execProcess(values, [], own, "/")).toThrow("which command");
    expect(() => execProcess({ ...values, process: "x", cwd: "/" }, [], own, "/")).toThrow(
      "--cwd and --process",
    );
  });
});
