// What machines are restored from: which it is, and when there is none.
import { afterAll, expect, test } from "bun:test";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ContainerMachine } from "../../src/drivers/vm/container-machine";
import { qemuArguments } from "../../src/drivers/vm/qemu/qemu-arguments";
import type { Qmp } from "../../src/drivers/vm/qemu/qmp";
import { loadState, saveState } from "../../src/drivers/vm/qemu/saved-state";
import { templateKey, templateUse } from "../../src/drivers/vm/template";
import { O } from "../../src/linux/call/constants";
import { memoryFile } from "../../src/linux/file/memfd";
import { openAt } from "../../src/linux/file/path";
import { copySparse } from "../../src/linux/file/sparse-copy";
import { parseSettings } from "../../src/settings/settings";

const place = mkdtempSync(join(tmpdir(), "hako-template-"));
afterAll(() => rmSync(place, { recursive: true }));

function machine(
  over: Partial<ContainerMachine["plan"]> = {},
  version = [7, 2, 22] as const,
): ContainerMachine {
  const plan = {
    accelerator: "tcg",
    memory: 768 << 20,
    cpus: 1,
    kernel: "/k",
    initramfs: "/i",
    image: "/m",
  } as const;
  return { qemu: { path: "/qemu", from: "host", version }, plan: { ...plan, ...over } };
}

const settings = (text: string) => parseSettings(`[machine]\n${text}`).machine;

test("machines are restored by default, and get a copy where a guest could change what others are made of", () => {
  const auto = settings("");
  expect(templateUse(auto, machine())).toBe("shared");
  expect(templateUse(auto, machine({ accelerator: "kvm" }))).toBe("copy");
  const newer = { ...machine({ accelerator: "kvm" }) };
  expect(templateUse(auto, { ...newer, qemu: { ...newer.qemu, version: [8, 2, 0] } })).toBe("shared");
  for (const use of ["shared", "copy", "off"] as const)
    expect(templateUse(settings(`template = "${use}"`), machine())).toBe(use);
  expect(() => settings('template = "on"')).toThrow("/machine/template");
});

test("another machine has another template", () => {
  const key = templateKey(machine());
  expect(templateKey(machine())).toBe(key);
  for (const over of [{ cpus: 2 }, { memory: 1 << 30 }, { image: "/other" }, { accelerator: "kvm" }] as const)
    expect(templateKey(machine(over))).not.toBe(key);
  const newer = machine();
  expect(templateKey({ ...newer, qemu: { ...newer.qemu, version: [8, 0, 0] } })).not.toBe(key);
});

test("QEMU maps the file as it is to be used, and leaves it to be read where it can", () => {
  using file = memoryFile("memory");
  const words = (role: "saved" | "restored" | "copied", version: readonly [number, number, number]) =>
    qemuArguments(version, { ...machine().plan, controlFd: 3, qmpFd: 4, memoryFile: { file, role } });
  const backend = (role: "saved" | "restored" | "copied", version: readonly [number, number, number]) =>
    words(role, version).find((each) => each.startsWith("memory-backend-file")) ?? "";
  expect(backend("saved", [7, 2, 0])).toEndWith(`,size=768M,mem-path=/proc/self/fd/${file.number},share=on`);
  expect(backend("restored", [7, 2, 0])).toEndWith(",share=off");
  expect(backend("restored", [8, 2, 0])).toEndWith(",share=off,readonly=on,rom=off");
  expect(backend("copied", [8, 2, 0])).toEndWith(",share=on");
  expect(words("saved", [7, 2, 0])).not.toContain("-incoming");
  for (const role of ["restored", "copied"] as const) expect(words(role, [7, 2, 0])).toContain("-incoming");
  expect(words("restored", [7, 2, 0]).join(" ")).toContain(",memory-backend=ram ");
});

test("a copy has what was written, and no more room than that", () => {
  const path = join(place, "sparse");
  const size = 64 << 20;
  writeFileSync(path, "begin");
  truncateSync(path, size);
  const fd = openSync(path, "r+");
  writeSync(fd, "middle", 32 << 20);
  closeSync(fd);
  using from = openAt(undefined, path, O.RDONLY);
  using to = memoryFile("copy");
  copySparse(from, to);
  const copy = `/proc/self/fd/${to.number}`;
  expect(statSync(copy).size).toBe(size);
  expect(statSync(copy).blocks * 512).toBeLessThan(1 << 20);
  expect(readFileSync(copy).equals(readFileSync(path))).toBeTrue();
});

/** A monitor that answers each command with the next of its answers. */
function monitor(answers: Record<string, unknown[]>, asked: string[]): Qmp {
  const command = (name: string) => {
    asked.push(name);
    return answers[name]?.shift() ?? {};
  };
  const status = () => (command("query-status") as { status: string }).status;
  const give = () => asked.push("getfd");
  return { command, status, give, lines: { broken: (what: string) => new Error(what) } } as unknown as Qmp;
}

test("a machine is stopped and saved, and goes on; a failure of QEMU's is told with its words", () => {
  using file = memoryFile("state");
  const later = performance.now() + 10_000;
  const saved: string[] = [];
  saveState(
    monitor({ "query-migrate": [{ status: "active" }, { status: "completed" }] }, saved),
    file,
    later,
  );
  expect(saved).toEqual([
    "stop",
    "migrate-set-capabilities",
    "getfd",
    "migrate",
    "query-migrate",
    "query-migrate",
  ]);
  const loaded: string[] = [];
  const states = [{ status: "inmigrate" }, { status: "paused" }];
  loadState(monitor({ "query-status": states }, loaded), file, later);
  expect(loaded.slice(-3)).toEqual(["query-status", "query-status", "cont"]);
  const failed = { "query-migrate": [{ status: "failed", "error-desc": "no room" }] };
  expect(() => saveState(monitor(failed, []), file, later)).toThrow("saving the machine has failed: no room");
  const never = { "query-migrate": Array.from({ length: 9999 }, () => ({ status: "active" })) };
  expect(() => saveState(monitor(never, []), file, performance.now() + 20)).toThrow("takes too long");
});
