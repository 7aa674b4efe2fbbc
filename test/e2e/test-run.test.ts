// scripts/test: its words, and its look at what tests leave on the host.
import { describe, expect } from "bun:test";
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readLayout } from "../../src/cgroup";
import { Box, e2e, execute, needsProgram, REPOSITORY, type Result, until } from "./support";

const SCRIPT = join(REPOSITORY, "scripts/test");
const PIECES = readdirSync(join(REPOSITORY, "scripts")).filter((name) => name.endsWith(".sh"));

describe("scripts/test", () => {
  e2e("--help names each part; a word that is none is refused before anything is done", () => {
    const { status, stdout } = execute(SCRIPT, ["--help"]);
    expect(status).toBe(0);
    for (const word of ["unit", "e2e", "clients", "conformance", "v2", "--quick", "--all"])
      expect(stdout).toMatch(new RegExp(`^ +${word} `, "m"));
    for (const word of ["units", "--fast", ""])
      expect(execute(SCRIPT, ["unit", word])).toMatchObject({
        status: 1,
        stdout: "",
        stderr: `test: unknown word: ${word} (parts: unit e2e clients conformance v2; flags: --quick, --all, --help)\n`,
      });
  });

  e2e("is clean for shellcheck, with its pieces", () => {
    const { status, stdout } = execute(
      "shellcheck",
      ["test", ...PIECES].map((name) => `scripts/${name}`),
      { cwd: REPOSITORY },
    );
    expect([stdout, status]).toEqual(["", 0]);
  }, [needsProgram("shellcheck")]);
});

describe("what is left on the host", () => {
  /** The lines of shell after which the host is compared with what it was. */
  const compare = (before: string): Result => {
    const line = `. scripts/host-state.sh; lanes=(); same_host_state ${before} 0`;
    return execute("bash", ["-c", line], { cwd: REPOSITORY });
  };
  const remember = (box: Box): string => {
    const file = box.path("before");
    const line = `. scripts/host-state.sh; lanes=(); host_state > ${file}`;
    expect(execute("bash", ["-c", line], { cwd: REPOSITORY })).toMatchObject({ status: 0, stderr: "" });
    return file;
  };

  e2e("is named: a mount, cgroups, a network namespace, a process, a directory", async () => {
    using box = new Box();
    const before = remember(box);
    const [mount, netns] = [box.path("mount"), `${box.names}netns`];
    const made = readLayout().hierarchies.map(({ mountpoint }) => join(mountpoint, `${box.names}cgroup`));
    const temporary = `/tmp/${box.names}left`;
    for (const dir of [mount, temporary, ...made]) mkdirSync(dir);
    execute("mount", ["-t", "tmpfs", "tmpfs", mount]);
    execute("ip", ["netns", "add", netns]);
    const child = spawn("sh", ["-c", "sleep 600; true", box.dir], { detached: true, stdio: "ignore" });
    try {
      await until("it runs", () => readFileSync(`/proc/${child.pid}/cmdline`, "utf8").includes(box.dir));
      const { status, stdout } = compare(before);
      expect(status).toBe(1);
      const lines = stdout.split("\n");
      expect(lines).toContain(`left behind: directory ${temporary}`);
      expect(lines).toContain(`left behind: network namespace /run/netns/${netns}`);
      expect(stdout).toContain(`left behind: mount / ${mount} `);
      expect(stdout).toContain(`left behind: process ${child.pid} sh `);
      for (const dir of made) expect(lines).toContain(`left behind: cgroup ${dir}`);
      expect(made.length).toBeGreaterThan(0);
    } finally {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      execute("umount", [mount]);
      execute("ip", ["netns", "delete", netns]);
      for (const dir of made) rmdirSync(dir);
      rmSync(temporary, { recursive: true });
    }
    // nothing of it is left, whatever others do meanwhile
    await until("they have gone", () => !compare(before).stdout.includes(box.names));
  }, [needsProgram("ip")]);
});
