// What a machine is started with: the archive, the image and the program that hako writes, and what it reads of kernels and modules.
import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { cpioArchive } from "../../src/drivers/vm/guest/cpio";
import { type ImageTree, writeErofs } from "../../src/drivers/vm/guest/erofs";
import { firstStageProgram, firstStageSteps } from "../../src/drivers/vm/guest/first-stage";
import { releaseOf, unpackedKernel } from "../../src/drivers/vm/guest/kernel-image";
import { ModuleDirectory, modulesToLoad, neededBy } from "../../src/drivers/vm/guest/kernel-modules";
import { loadedObjects, mappedObjects, sharedObjectName } from "../../src/drivers/vm/guest/shared-objects";
import { bytesOf, concatenated, textOf } from "../../src/linux/call/bytes";
import { O } from "../../src/linux/call/constants";
import type { Step } from "../../src/linux/call/step";
import { openAt } from "../../src/linux/file/path";

class Directory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "hako-guest-"));

  file(name: string, content: string | Uint8Array): string {
    const path = join(this.path, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

describe("an archive for the kernel (cpio, newc)", () => {
  const entries = [
    { path: "dev", mode: 0o040755 },
    { path: "dev/console", mode: 0o020600, device: [5, 1] as const },
    { path: "init", mode: 0o100755, bytes: bytesOf("12345") },
  ];

  test("has entries of 110 bytes and a name, aligned, and a trailer", () => {
    const text = textOf(cpioArchive(entries));
    expect(text.length % 4).toBe(0);
    expect(text.slice(0, 6)).toBe("070701");
    expect(text.match(/070701/g)).toHaveLength(4);
    const console = text.slice(text.indexOf("dev/console") - 110);
    expect(console.slice(14, 22)).toBe((0o020600).toString(16).padStart(8, "0"));
    expect(console.slice(78, 94)).toBe("0000000500000001");
    expect(text).toContain("TRAILER!!!\0");
  });

  test("is what cpio reads", () => {
    const cpio = Bun.which("cpio");
    if (cpio === null) return console.log("skipped: cpio is not installed");
    const { stdout } = Bun.spawnSync([cpio, "-tv", "--quiet"], { stdin: cpioArchive(entries) });
    const lines = stdout.toString().trim().split("\n");
    expect(lines).toHaveLength(3);
    expect(lines[1]).toMatch(/^crw-------.* 5, +1 .*dev\/console$/);
    expect(lines[2]).toMatch(/^-rwxr-xr-x.* 5 .*init$/);
  });
});

/** Reads an image as the kernel does (fs/erofs/{super,inode,dir}.c), as far as hako writes it. */
class ErofsReader {
  readonly #view: DataView;

  constructor(private readonly bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    expect(this.#view.getUint32(1024, true)).toBe(0xe0f5e1e2);
    expect(this.#view.getUint32(1024 + 36, true) * 4096).toBe(bytes.length);
  }

  inode(number: number) {
    const at = 4096 * this.#view.getUint32(1024 + 40, true) + 32 * number;
    expect(this.#view.getUint16(at, true)).toBe(0);
    const size = this.#view.getUint32(at + 8, true);
    const start = 4096 * this.#view.getUint32(at + 16, true);
    return {
      mode: this.#view.getUint16(at + 4, true),
      links: this.#view.getUint16(at + 6, true),
      content: this.bytes.subarray(start, start + size),
    };
  }

  names(number: number): Map<string, number> {
    const { mode, content } = this.inode(number);
    expect(mode & 0o170000).toBe(0o040000);
    const view = new DataView(content.buffer, content.byteOffset, content.length);
    const count = view.getUint16(8, true) / 12;
    const starts = Array.from({ length: count }, (_, index) => view.getUint16(12 * index + 8, true));
    const found = starts.map((start, index): [string, number] => [
      textOf(content.subarray(start, starts[index + 1] ?? content.length)),
      Number(view.getBigUint64(12 * index, true)),
    ]);
    // the kernel searches by halves
    const names = found.map(([name]) => name);
    expect(names).toEqual([...names].sort());
    return new Map(found);
  }

  find(path: string) {
    let number = this.#view.getUint16(1024 + 14, true);
    for (const name of path.split("/").filter((each) => each !== ""))
      number = this.names(number).get(name) ?? Number.NaN;
    return { number, ...this.inode(number) };
  }
}

describe("an image (erofs)", () => {
  function written(tree: ImageTree): ErofsReader {
    using directory = new Directory();
    const path = join(directory.path, "image");
    using image = openAt(undefined, path, O.WRONLY | O.CREAT, 0o600);
    writeErofs(image, tree);
    return new ErofsReader(readFileSync(path));
  }

  test("has files of any size, directories that are not named, and empty ones", () => {
    using host = new Directory();
    const large = crypto.getRandomValues(new Uint8Array(50_000));
    const image = written({
      files: [
        { path: "/bin/hako", mode: 0o755, content: { file: host.file("large", large) } },
        { path: "/lib/b", mode: 0o644, content: bytesOf("b") },
        { path: "/lib/a", mode: 0o644, content: new Uint8Array() },
        { path: "/lib/a-b", mode: 0o644, content: new Uint8Array(4096).fill(7) },
      ],
      directories: ["/proc", "/lib"],
    });
    expect(image.find("/bin/hako").content).toEqual(large);
    expect(image.find("/bin/hako").mode).toBe(0o100755);
    expect(textOf(image.find("/lib/b").content)).toBe("b");
    expect(image.find("/lib/a").content).toHaveLength(0);
    expect(image.find("/lib/a-b").content).toEqual(new Uint8Array(4096).fill(7));
    const root = image.find("/");
    expect(root.number).toBe(1);
    expect(root.links).toBe(5);
    const proc = image.names(image.find("/proc").number);
    expect(proc.get("..")).toBe(root.number);
    expect([...proc.keys()]).toEqual([".", ".."]);
  });
});

describe("the guest's first stage", () => {
  function run(steps: Step[]) {
    using directory = new Directory();
    const path = directory.file("init", firstStageProgram(steps));
    Bun.spawnSync(["chmod", "755", path]);
    const { exitCode, stdout } = Bun.spawnSync([path], { stdin: "ignore" });
    return { status: exitCode, output: stdout.toString() };
  }

  test("makes calls one after the other", () => {
    const steps: Step[] = [
      { what: "one", call: "write", args: [1, "one ", 4] },
      { what: "two", call: "write", args: [1, "two", 3], success: { exactly: 3 } },
      { what: "end", call: "exit_group", args: [7] },
    ];
    expect(run(steps)).toEqual({ status: 7, output: "one two" });
  });

  test("names the one that fails, and ends with its errno", () => {
    const gone: Step = { what: "chdir /gone", call: "chdir", args: ["/hako is not here"] };
    expect(run([gone])).toEqual({ status: 2, output: "hako: chdir /gone failed\n" });
    const other: Step = { what: "write", call: "write", args: [2, "", 0], success: { exactly: 3 } };
    expect(run([other]).output).toBe("hako: write failed\n");
  });

  test("loads modules before it mounts, and executes a program of the image last", () => {
    const steps = firstStageSteps({
      modules: ["/m/a.ko", "/m/b.ko"],
      program: "/bin/x",
      args: ["x"],
      environment: [],
    });
    const whats = steps.map(({ what }) => what);
    expect(whats.indexOf("module /m/a.ko")).toBeLessThan(whats.indexOf("module /m/b.ko"));
    expect(whats.lastIndexOf("module /m/b.ko")).toBeLessThan(whats.indexOf("mount /image"));
    expect(whats.at(-1)).toBe("execve /bin/x");
  });
});

/** An ELF file with a note of this name and type, or none. */
function elf(note?: { name: string; type: number }): Uint8Array {
  const bytes = new Uint8Array(512);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  if (note === undefined) return bytes;
  view.setUint32(64, 4, true);
  view.setBigUint64(64 + 8, 128n, true);
  view.setBigUint64(64 + 32, 40n, true);
  // a note of somebody else's first
  view.setUint32(128, 4, true);
  view.setUint32(132, 3, true);
  view.setUint32(136, 1, true);
  bytes.set(bytesOf("GNU\0"), 140);
  view.setUint32(148, note.name.length, true);
  view.setUint32(152, 4, true);
  view.setUint32(156, note.type, true);
  bytes.set(bytesOf(note.name), 160);
  return bytes;
}

function bzImage(payload: Uint8Array, version = "6.1.0-9-cloud (builder) #1"): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(1024);
  const view = new DataView(head.buffer);
  head[0x1f1] = 1;
  head.set(bytesOf("HdrS"), 0x202);
  view.setUint16(0x20e, 0x100, true);
  head.set(bytesOf(`${version}\0`), 0x300);
  view.setUint32(0x248, 16, true);
  view.setUint32(0x24c, payload.length, true);
  return concatenated([head, new Uint8Array(16), payload, new Uint8Array(100)]);
}

describe("a kernel", () => {
  const entry = elf({ name: "Xen\0", type: 18 });

  test("tells its release", () => {
    expect(releaseOf(bzImage(new Uint8Array()), "k")).toBe("6.1.0-9-cloud");
    const banner = concatenated([elf(), bytesOf("\0Linux version 5.15.0-1 (me) #1\0")]);
    expect(releaseOf(banner, "k")).toBe("5.15.0-1");
    for (const bytes of [bytesOf("hello"), new Uint8Array(), elf()])
      expect(() => releaseOf(bytes, "/k")).toThrow("/k is no kernel for x86-64");
  });

  test("is unpacked where QEMU can enter what is in it", () => {
    // as the kernel's build appends it
    const size = new Uint8Array(Uint32Array.of(entry.length).buffer);
    const bytes = entry as Uint8Array<ArrayBuffer>;
    expect(unpackedKernel(bzImage(Bun.gzipSync(bytes)))).toEqual(entry);
    expect(unpackedKernel(bzImage(concatenated([Bun.zstdCompressSync(bytes), size])))).toEqual(entry);
    for (const [program, ...flags] of [["xz"], ["lz4", "-l"]]) {
      if (Bun.which(program ?? "") === null) {
        console.log(`skipped: ${program} is not installed`);
        continue;
      }
      const packed = Bun.spawnSync([program ?? "", ...flags, "-c"], { stdin: bytes }).stdout;
      expect(unpackedKernel(bzImage(concatenated([packed, size])))).toEqual(entry);
    }
  });

  test("is taken as it is where that can't be", () => {
    const others = [
      elf(),
      elf({ name: "Xen\0", type: 17 }),
      elf({ name: "Xem\0", type: 18 }),
      bytesOf("no ELF file"),
    ];
    for (const other of others)
      expect(unpackedKernel(bzImage(Bun.gzipSync(other as Uint8Array<ArrayBuffer>)))).toBeUndefined();
    expect(unpackedKernel(bzImage(Uint8Array.of(0x1f, 0x8b, 1, 2, 3)))).toBeUndefined();
    expect(unpackedKernel(entry as Uint8Array<ArrayBuffer>)).toBeUndefined();
  });
});

describe("modules of a kernel", () => {
  const module = (fields: string) => bytesOf(`ELF\0license=GPL\0${fields}vermagic=6.1\0`);

  function directory(host: Directory, files: Record<string, string | Uint8Array>, builtIn: string[] = []) {
    const names = Object.keys(files).map((name) => name.replace(/\.(zst|gz)$/, ""));
    host.file("modules.order", names.map((name) => `${name}\n`).join(""));
    host.file("modules.builtin", builtIn.map((name) => `${name}\n`).join(""));
    for (const [name, content] of Object.entries(files)) host.file(name, content);
    return new ModuleDirectory(host.path);
  }

  const names = (modules: ReturnType<typeof modulesToLoad>) => modules.map(({ module: { name } }) => name);

  test("say what they need", () => {
    expect(neededBy(module("depends=virtio,virtio-ring\0"))).toEqual({
      modules: ["virtio", "virtio_ring"],
      before: [],
    });
    expect(neededBy(module("softdep=pre: crc32c x post: y\0depends=\0"))).toEqual({
      modules: [],
      before: ["crc32c", "x"],
    });
    expect(neededBy(bytesOf("nothing"))).toEqual({ modules: [], before: [] });
  });

  test("are loaded behind those that they need, each once", () => {
    using host = new Directory();
    const modules = directory(
      host,
      {
        "kernel/a-1.ko": module("depends=b,c\0"),
        "kernel/x/b.ko.zst": Bun.zstdCompressSync(module("depends=c\0")),
        "kernel/c.ko.gz": Bun.gzipSync(module("softdep=pre: sum\0depends=\0")),
        "kernel/sum_generic.ko": module("depends=\0"),
      },
      ["kernel/d.ko"],
    );
    expect(names(modulesToLoad(modules, ["a_1", "c", "d"]))).toEqual(["sum_generic", "c", "b", "a_1"]);
    for (const { bytes } of modulesToLoad(modules, ["a_1"])) expect(textOf(bytes)).toStartWith("ELF\0");
  });

  test("that are not there are named; what is only good to have may be missing", () => {
    using host = new Directory();
    const modules = directory(host, { "kernel/a.ko": module("softdep=pre: nothing\0depends=gone\0") });
    expect(() => modulesToLoad(modules, ["a"])).toThrow(
      "has no module gone, and the kernel has it not built in",
    );
    expect(() => modulesToLoad(modules, ["other"])).toThrow("has no module other");
    expect(() => new ModuleDirectory("/nowhere")).toThrow("/nowhere has no modules.order");
  });
});

describe("shared objects of the executable", () => {
  test("are those whose code this process has", () => {
    const maps = [
      "00400000-00500000 r-xp 00000000 fe:00 77 /bin/hako",
      "7f00-7f01 r--p 00000000 fe:00 12   /lib/libc.so.6",
      "7f01-7f02 r-xp 00001000 fe:00 12   /lib/libc.so.6",
      "7f02-7f03 r-xp 00002000 fe:00 12   /lib/libc.so.6",
      "7f04-7f05 r-xp 00000000 00:00 0    [vdso]",
      "7f06-7f07 r-xp 00000000 00:01 9    /memfd:x (deleted)",
    ].join("\n");
    expect(mappedObjects(maps, "/bin/hako")).toEqual(["/lib/libc.so.6"]);
  });

  test("have the names by which they are asked for, and the loader its own path", () => {
    const objects = loadedObjects();
    const paths = objects.map(({ path }) => path);
    expect(paths.some((path) => /\/(libc\.so\.6|ld-musl-.*)$/.test(path))).toBeTrue();
    expect(new Set(paths).size).toBe(paths.length);
    for (const { content } of objects) {
      if (!("file" in content)) throw new Error("a file of the host");
      const name = sharedObjectName(readFileSync(content.file));
      if (content.file.includes("libc.so")) expect(name).toBe("libc.so.6");
    }
  });
});
