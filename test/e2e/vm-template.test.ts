// Machines of containers are restored from one that was saved: what must differ between them does, and what was saved stays as it is.
import { afterAll, expect } from "bun:test";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { environment, needsMachine, shared, withSettings } from "./machines";
import {
  Box,
  e2e,
  execute,
  executeLater,
  HAKO,
  names,
  needsBusybox,
  type Result,
  TIME_LIMIT,
  until,
} from "./support";

const needs = [needsMachine, needsBusybox];
const cache = shared.path("cache");
const env = environment(cache);
const templates = join(cache, "hako/machines/templates");
const box = new Box();
afterAll(() => box[Symbol.dispose]());

/** Machines boot in seconds. */
const LONG = 6 * TIME_LIMIT;
/** By how much a guest's clock may differ from the host's. */
const CLOCK_MS = 200;

function hako(words: string[], environment = env): Result {
  return execute(HAKO, ["--root", box.root, ...words], { env: environment, timeout: 2 * TIME_LIMIT });
}

function runWords(command: string[]): string[] {
  return ["--root", box.root, "run", "--driver", "vm", "--rootfs", "/", "--", ...command];
}

interface TemplateJson {
  use: string | null;
  templates: { key: string; size: number; made: string; used: boolean }[];
}

function shown(): TemplateJson {
  return JSON.parse(hako(["machine", "template", "show", "--json"]).stdout) as TemplateJson;
}

function memoryOf(key: string): string {
  return join(templates, key, "memory");
}

function hashOf(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

e2e(
  "two machines of a template differ in all that is random, and know the time; the template stays as it is",
  async () => {
    hako(["machine", "template", "remove"]);
    expect(shown().templates).toEqual([]);
    expect(hako(["machine", "probe"]).status).toBe(0);
    // by itself, for the first container
    expect(hako(runWords(["true"]).slice(2))).toMatchObject({ status: 0, stderr: "" });
    const { use, templates: made } = shown();
    const [template] = made;
    expect(made).toHaveLength(1);
    expect(template).toMatchObject({ used: true });
    const memory = memoryOf(template?.key ?? "");
    expect(statSync(join(templates, template?.key ?? "")).mode & 0o777).toBe(0o700);
    const before = hashOf(memory);
    expect(use).toBe(hako(["check"]).stdout.includes("emulated") ? "shared" : "copy");
    const script = `date +%s.%N; cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id
      head -c 16 /dev/urandom | od -An -tx1; cat /proc/sys/kernel/hostname; cat /proc/uptime`;
    const at = async () => {
      const { stdout, stderr } = await executeLater(HAKO, runWords(["sh", "-c", script]), undefined, env);
      expect(stderr).toBe("");
      return stdout.trim().split("\n");
    };
    const both = await Promise.all([at(), at()]);
    for (const line of [1, 2, 3, 4]) expect(both[0]?.[line]).not.toBe(both[1]?.[line] ?? "");
    for (const [, uuid, bootId, random] of both) {
      expect(uuid).toMatch(/^[0-9a-f-]{36}$/);
      expect(bootId).toMatch(/^[0-9a-f-]{36}$/);
      expect(random).toMatch(/^( [0-9a-f]{2}){16}$/);
    }
    // a program between two looks at the host's clock
    const id = box.id();
    expect(
      hako(["run", "--driver", "vm", "--rootfs", "/", "--detach", "--name", id, "--", "sleep", "1000"])
        .status,
    ).toBe(0);
    const guestTime = () => {
      const start = Date.now();
      const guest = 1000 * Number(hako(["exec", id, "date", "+%s.%N"]).stdout);
      return { early: start - guest, late: guest - Date.now() };
    };
    const { early, late } = guestTime();
    expect(early).toBeLessThan(CLOCK_MS);
    expect(late).toBeLessThan(CLOCK_MS);
    const { machine } = JSON.parse(hako(["state", id]).stdout) as { machine: { template: string } };
    expect(machine.template).toBe(use ?? "none");
    expect(hako(["delete", "--force", id]).status).toBe(0);
    for (let count = 0; count < 5; count++)
      expect(hako(runWords(["sh", "-c", "head -c 50M /dev/zero >/tmp/much"]).slice(2)).status).toBe(0);
    expect(hashOf(memory)).toBe(before);
    expect(shown().templates.map(({ key }) => key)).toEqual([template?.key ?? ""]);
  },
  needs,
  LONG,
);

e2e(
  "a template that is too old is not used; one whose maker was killed leaves nothing half, and no QEMU",
  async () => {
    expect(hako(["machine", "template", "build"]).stdout).toMatch(
      /^template [0-9a-f]{12}: .* MiB, (made|there)\n$/,
    );
    expect(hako(["machine", "template", "build"]).stdout).toContain(", there\n");
    const [{ key } = { key: "" }] = shown().templates;
    const past = Date.now() / 1000 - 8 * 24 * 3600;
    utimesSync(join(templates, key), past, past);
    expect(shown().templates).toMatchObject([{ key, used: false }]);
    const making = spawn(HAKO, ["machine", "template", "build"], { env, stdio: "ignore" });
    const unfinished = join(templates, `${key}.tmp`);
    await until("it is being made", () => existsSync(join(unfinished, "memory")));
    const qemus = () =>
      readdirSync("/proc").filter((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(`${cache}/hako/machines/`);
        } catch {
          return false;
        }
      });
    await until("QEMU is there", () => qemus().length > 0);
    making.kill("SIGKILL");
    await new Promise((done) => making.on("exit", done));
    await until("QEMU has ended", () => qemus().length === 0);
    expect(shown().templates).toEqual([]);
    // neither does what is being made count
    mkdirSync(join(templates, `${"0".repeat(40)}.tmp`));
    expect(hako(["machine", "template", "build"]).stdout).toContain(", made\n");
    expect(names(templates).sort()).toEqual([key, `${key}.lock`].sort());
  },
  needs,
  LONG,
);

e2e(
  "a machine has a copy of the template, or boots, where the settings say so",
  () => {
    mkdirSync(box.path("scratch"));
    for (const use of ["copy", "off"]) {
      const id = box.id();
      const words = ["--root", box.root, "run", "--driver", "vm", "--rootfs", "/", "--detach", "--name", id];
      const made = withSettings(
        `[machine]\ntemplate = "${use}"\n`,
        box.path("scratch"),
        [...words, "--", "sleep", "1000"],
        env,
        2 * TIME_LIMIT,
      );
      expect(made).toMatchObject({ status: 0, stderr: "" });
      const { machine } = JSON.parse(hako(["state", id]).stdout) as { machine: { template: string } };
      expect(machine.template).toBe(use);
      expect(hako(["exec", id, "cat", "/proc/sys/kernel/random/boot_id"]).stdout).toMatch(
        /^[0-9a-f-]{36}\n$/,
      );
      expect(hako(["delete", "--force", id]).status).toBe(0);
    }
  },
  needs,
  LONG,
);
