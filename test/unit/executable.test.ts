// What a file that shall be executed is, from headers that are made here; and why it can't be, from files of this host.
import { afterAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ErrnoName, errnoNumber } from "../../src/base/errno";
import { executionError, explainExecution, lookAtProgram } from "../../src/explain/execution";
import { type Format, formatOf, OWN_MACHINE, readFormat } from "../../src/linux/file/executable";

const dir = mkdtempSync(join(tmpdir(), "hako-executable-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const OWN = process.arch === "arm64" ? 183 : 62;
const OTHER = process.arch === "arm64" ? 62 : 183;
const OTHER_NAME = process.arch === "arm64" ? "x86-64" : "aarch64";

interface Header {
  machine?: number;
  bits?: 32 | 64;
  little?: boolean;
  type?: number;
  loader?: string;
  /** Where the loader's name lies. */
  at?: number;
  /** Overwrite the program header's numbers with lies. */
  lie?: { offset?: bigint; length?: bigint; where?: bigint; count?: number };
}

/** An ELF file with one program header, as elf(5) has it. */
function elfFile(header: Header = {}): Uint8Array {
  const { machine = OWN, bits = 64, little = true, type = 3, loader, at = 0x100, lie = {} } = header;
  const bytes = new Uint8Array(loader === undefined ? 0x100 : at + loader.length + 1);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, bits === 32 ? 1 : 2, little ? 1 : 2, 1]);
  view.setUint16(16, type, little);
  view.setUint16(18, machine, little);
  if (bits === 32 || !little) return bytes;
  view.setBigUint64(32, lie.offset ?? 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, lie.count ?? 1, true);
  if (loader === undefined) return bytes;
  view.setUint32(64, 3, true);
  view.setBigUint64(72, lie.where ?? BigInt(at), true);
  view.setBigUint64(96, lie.length ?? BigInt(loader.length + 1), true);
  bytes.set(Buffer.from(loader), at);
  return bytes;
}

function format(bytes: Uint8Array): Format {
  return formatOf((offset, length) => bytes.subarray(offset, offset + length));
}

function text(content: string): Uint8Array {
  return Buffer.from(content);
}

describe("formatOf", () => {
  const rows: [string, Uint8Array, Format][] = [
    ["nothing", text(""), { kind: "empty" }],
    ["a script", text("#!/bin/sh\n"), { kind: "script", interpreter: "/bin/sh" }],
    ["blanks and an argument", text("#! \t/bin/awk -f\n"), { kind: "script", interpreter: "/bin/awk" }],
    ["a carriage return", text("#!/bin/sh\r\nx"), { kind: "script", interpreter: "/bin/sh\r" }],
    ["no end of line", text("#!/bin/sh"), { kind: "script", interpreter: "/bin/sh" }],
    ["no interpreter", text("#!\n"), { kind: "script", interpreter: "" }],
    ["text", text("echo hello\n"), { kind: "text" }],
    ["text in another language", text("回声\n"), { kind: "text" }],
    ["bytes", Uint8Array.of(0, 1, 2), { kind: "unknown" }],
    ["our own machine", elfFile(), { kind: "elf", machine: OWN_MACHINE, foreign: false, loader: undefined }],
    [
      "a loader",
      elfFile({ loader: "/lib/ld.so" }),
      { kind: "elf", machine: OWN_MACHINE, foreign: false, loader: "/lib/ld.so" },
    ],
    [
      "a loader's name behind the first page",
      elfFile({ loader: "/lib/ld.so", at: 9000 }),
      { kind: "elf", machine: OWN_MACHINE, foreign: false, loader: "/lib/ld.so" },
    ],
    ["another machine", elfFile({ machine: OTHER }), elf(OTHER_NAME)],
    ["x86 of 32 bits", elfFile({ machine: 3, bits: 32 }), elf("x86")],
    ["x32", elfFile({ machine: 62, bits: 32 }), elf("x32")],
    ["big-endian", elfFile({ machine: 21, little: false }), elf("ppc64")],
    ["little-endian", elfFile({ machine: 21 }), elf("ppc64le")],
    ["riscv", elfFile({ machine: 243 }), elf("riscv64")],
    ["a machine nobody knows", elfFile({ machine: 9999 }), elf("machine 9999")],
    [
      "a core file",
      elfFile({ type: 4 }),
      { kind: "broken", why: "it is an object file, not a linked program" },
    ],
    ["cut off", elfFile().subarray(0, 20), { kind: "broken", why: "it is cut off" }],
  ];
  for (const [name, bytes, expected] of rows) {
    test(name, () => expect(format(bytes)).toEqual(expected));
  }

  test("numbers that lie", () => {
    const loader = "/lib/ld.so";
    const lies: Header["lie"][] = [
      { offset: 2n ** 63n },
      { offset: 1n << 40n },
      { count: 65535 },
      { length: 1n << 50n },
      { length: 0n },
      { where: 2n ** 64n - 1n },
      { where: 1n << 40n },
    ];
    for (const lie of lies) expect(format(elfFile({ loader, lie }))).toMatchObject({ loader: undefined });
  });
});

function elf(machine: string): Format {
  return { kind: "elf", machine, foreign: true, loader: undefined };
}

describe("readFormat", () => {
  test("only ordinary files, and nobody waits", () => {
    const pipe = join(dir, "pipe");
    execFileSync("mkfifo", [pipe]);
    for (const path of [pipe, dir, "/dev/zero", join(dir, "none")]) expect(readFormat(path)).toBeUndefined();
    expect(readFormat(process.execPath)).toMatchObject({ kind: "elf", foreign: false });
  });
});

let files = 0;

function file(content: string | Uint8Array, mode = 0o755): string {
  const path = join(dir, `file-${files++}`);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

function explained(path: string, errno: ErrnoName): string {
  return executionError(path, errnoNumber(errno), lookAtProgram(path)).oneLine;
}

describe("why a program can't be executed", () => {
  test("a missing interpreter, also of an interpreter", () => {
    const script = file("#!/no/such\n");
    expect(explained(script, "ENOENT")).toBe(
      `execve ${script}: no such file or directory: ${script} is a script for /no/such, which is not there (install /no/such, or name another one in its first line)`,
    );
    const outer = file(`#!${script}\n`);
    expect(explained(outer, "ENOENT")).toContain(`${script} is a script for /no/such`);
  });

  test("a carriage return", () => {
    const script = file("#!/bin/sh\r\necho\r\n");
    expect(explained(script, "ENOENT")).toContain(
      'carriage return, so its interpreter is "/bin/sh\\r" (save it',
    );
  });

  test("a missing loader", () => {
    const glibc = file(elfFile({ loader: "/no/ld-linux-x86-64.so.2" }));
    expect(explained(glibc, "ENOENT")).toContain(
      "it needs the loader /no/ld-linux-x86-64.so.2, which is not there (a program for glibc in a musl",
    );
    const musl = file(elfFile({ loader: "/no/ld-musl-x86_64.so.1" }));
    expect(explained(musl, "ENOENT")).toContain("(a program for musl libc");
  });

  test("formats", () => {
    expect(explained(file(""), "ENOEXEC")).toContain("exec format error: the file is empty");
    expect(explained(file("echo\n"), "ENOEXEC")).toContain(
      'text without "#!" in its first line (begin it with',
    );
    expect(explained(file(elfFile({ machine: OTHER })), "ENOEXEC")).toContain(
      `the program is for ${OTHER_NAME}, this machine is ${OWN_MACHINE} (take an image for ${OWN_MACHINE}`,
    );
    const script = file(`#!${file(elfFile({ machine: OTHER }))}\n`);
    expect(explained(script, "ENOEXEC")).toMatch(/its interpreter .*: the program is for/);
    expect(explained(file("#!\n"), "ENOEXEC")).toContain("names no interpreter");
    expect(explained(file(elfFile().subarray(0, 30)), "ENOEXEC")).toContain("it is cut off");
    const loader = file(elfFile({ machine: OTHER }));
    expect(explained(file(elfFile({ loader })), "ELIBBAD")).toContain(
      `its loader ${loader} is for ${OTHER_NAME}`,
    );
  });

  test("rights", () => {
    const path = file("#!/bin/sh\n", 0o644);
    expect(explained(path, "EACCES")).toMatch(
      /permission denied: its mode is 644, its owner \d+, and user \d+ may not/,
    );
    const script = file(`#!${path}\n`);
    expect(explained(script, "EACCES")).toContain(`its interpreter ${path}: its mode is 644`);
    const directory = join(dir, "directory");
    mkdirSync(directory);
    expect(explained(directory, "EACCES")).toContain("permission denied: it is a directory");
  });

  test("what was looked at before is enough, whatever has become of it", () => {
    const path = file("#!/no/such\n");
    const sight = lookAtProgram(path);
    rmSync(path);
    expect(explainExecution(sight, "ENOENT").why).toContain("/no/such");
  });

  test("a file of the kernel's is not read", () => {
    expect(lookAtProgram("/proc/self/status")).toMatchObject({ format: { kind: "empty" } });
  });

  test("no reason is made up", () => {
    expect(explained(join(dir, "none"), "ENOENT")).toBe(
      `execve ${join(dir, "none")}: no such file or directory`,
    );
    expect(explained(file("#!/bin/sh\n"), "EPERM")).toMatch(/: operation not permitted$/);
  });

  test("an interpreter in a circle ends", () => {
    const path = join(dir, "circle");
    writeFileSync(path, `#!${path}\n`, { mode: 0o755 });
    expect(explained(path, "ELOOP")).toContain("in a circle");
    expect(explained(path, "ENOENT")).toContain("no such file");
  });
});
