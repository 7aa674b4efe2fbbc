// Commands in network namespaces.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { readlinkSync, writeFileSync } from "node:fs";
import { Box, e2e, execute, needsHako, needsProgram } from "./support";

const NAME = `hako-e2e-${process.pid}`;
const PATH = `/run/netns/${NAME}`;
const needs = [needsHako, needsProgram("ip")];
const lacking = needs.find((why) => why !== undefined);

beforeAll(() => {
  if (lacking === undefined && process.getuid?.() === 0) execute("ip", ["netns", "add", NAME]);
});
afterAll(() => {
  if (lacking === undefined && process.getuid?.() === 0) execute("ip", ["netns", "delete", NAME]);
});

describe("netns exec", () => {
  e2e(
    "runs inside; the caller stays outside",
    () => {
      using box = new Box();
      const before = readlinkSync("/proc/self/ns/net");
      const inside = box.ok("netns", "exec", PATH, "--", "readlink", "/proc/self/ns/net").stdout.trim();
      expect(inside).toBe(`net:[${execute("stat", ["-Lc", "%i", PATH]).stdout.trim()}]`);
      expect(inside).not.toBe(before);
      expect(readlinkSync("/proc/self/ns/net")).toBe(before);
    },
    needs,
  );

  e2e(
    "the command's own words, input, environment",
    () => {
      using box = new Box();
      const options = { input: "in\n", env: { PATH: "/usr/bin:/bin", MARK: "mark" } };
      const words = ["netns", "exec", PATH, "sh", "-c", 'cat; echo $MARK "$@"', "sh", "--path", "-x"];
      expect(box.hakoWith(options, ...words).stdout).toBe("in\nmark --path -x\n");
    },
    needs,
  );

  e2e(
    "exit statuses",
    () => {
      using box = new Box();
      const status = (...command: string[]) => {
        const result = box.hako("netns", "exec", PATH, "--", ...command);
        return result.status ?? result.signal;
      };
      expect(status("sh", "-c", "exit 7")).toBe(7);
      expect(status("true")).toBe(0);
      expect(status("nosuchprogram")).toBe(127);
      expect(status("/no/such/program")).toBe(127);
      expect(status("/etc/passwd")).toBe(126);
      // the process has become the command, so its caller sees the signal itself
      expect(status("sh", "-c", "kill -TERM $$")).toBe("SIGTERM");
    },
    needs,
  );

  e2e(
    "a namespace by its name of ip netns, also as --network; what was meant by one that is not there",
    () => {
      using box = new Box();
      const inside = `net:[${execute("stat", ["-Lc", "%i", PATH]).stdout.trim()}]\n`;
      const look = ["--", "readlink", "/proc/self/ns/net"];
      expect(box.ok("netns", "exec", NAME, ...look).stdout).toBe(inside);
      const run = (network: string, ...words: string[]) =>
        box.hako("run", "--rootfs", "/", "--network", network, ...words);
      for (const network of [NAME, PATH]) expect(run(network, ...look)).toMatchObject({ stdout: inside });
      const rows: [string, number, string][] = [
        [`${NAME}x`, 2, `did you mean ${NAME}?`],
        [`${PATH}x`, 125, `no such file or directory (did you mean ${PATH}?)`],
        ["hots", 2, "did you mean host?"],
        ["bridge", 2, "hako sets up none"],
        ["./x", 2, "nor an absolute path"],
        ["..", 125, "unknown FS magic"],
      ];
      for (const [network, status, text] of rows) {
        const result = run(network, "--", "true");
        expect({ network, status: result.status }).toEqual({ network, status });
        expect(result.stderr).toContain(text);
      }
      const missing = box.hako("netns", "exec", `${PATH}x`, "true");
      expect(missing.status).toBe(1);
      expect(missing.stderr).toContain(
        `failed to open "${PATH}x": no such file or directory (did you mean ${PATH}?)`,
      );
    },
    needs,
  );

  e2e(
    "what is no namespace of the network is refused",
    () => {
      using box = new Box();
      const file = box.path("file");
      writeFileSync(file, "");
      const said = (path: string) => {
        const result = box.hako("netns", "exec", path, "--", "true");
        expect(result.status).toBe(1);
        return result.stderr;
      };
      expect(said(file)).toMatch(/unknown FS magic on ".*": [0-9a-f]+/);
      expect(said("/no/such/path")).toContain('failed to open "/no/such/path": no such file or directory');
      expect(said("/proc/self/ns/uts")).toContain("setns (network)");
      expect(box.hako("netns", "exec", "", "--", "true").status).toBe(2);
      expect(box.hako("netns", "exec", PATH).status).toBe(2);
    },
    needs,
  );

  e2e(
    "signals and limits are the caller's, not Bun's",
    () => {
      using box = new Box();
      const line = `ulimit -Sn 555; "$0" netns exec "$1" -- sh -c 'ulimit -Sn; grep SigIgn /proc/self/status'; exit $?`;
      const runtime = process.env.HAKO ?? `${process.cwd()}/dist/hako`;
      const result = execute("sh", ["-c", line, runtime, PATH]);
      expect(result.stdout).toBe("555\nSigIgn:\t0000000000000000\n");
      expect(box.dir).not.toBe("");
    },
    needs,
  );
});
