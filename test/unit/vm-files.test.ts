// How a container in a machine has the host's files, and what serves those that are written.
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { guardProgram } from "../../src/agent/files-guard";
import { filesOf } from "../../src/drivers/vm/files/container-files";
import { parseVirtiofsdVersion } from "../../src/drivers/vm/files/find-virtiofsd";
import { hostSockets, socketsWarning } from "../../src/drivers/vm/files/host-sockets";
import { virtiofsdArguments } from "../../src/drivers/vm/files/virtiofsd-arguments";
import { readFormat } from "../../src/linux/file/executable";
import type { Config, Mount } from "../../src/oci/config";
import { defaultConfig } from "../../src/oci/default";

function config(more: Partial<Config> = {}): Config {
  return { ...defaultConfig({ rootless: false }), root: { path: "rootfs", readonly: false }, ...more };
}

const bind = (options: string[], destination = "/mnt"): Mount => ({
  ...{ destination, type: "bind", source: "/srv", options },
});
const overlay = (writes: string | undefined) => ({ directory: "/x", lower: "/", writes });
const told = (name: string, value: string) => config({ annotations: { [name]: value } });

describe("the root file system", () => {
  test("is the host's, unless what is written is to end with the container", () => {
    expect(filesOf(config(), undefined)).toEqual({ rootfs: "shared", written: true, cache: "auto" });
    expect(filesOf(told("org.hako.rootfs", "shared"), undefined).rootfs).toBe("shared");
    const ending = { rootfs: "private", written: false, cache: "auto" } as const;
    expect(filesOf(told("org.hako.rootfs", "private"), undefined)).toEqual(ending);
    expect(filesOf(config({ root: { path: "rootfs", readonly: true } }), undefined)).toEqual(ending);
    expect(filesOf(config(), overlay(undefined))).toEqual(ending);
  });

  test("of --keep-writes is kept, whatever an annotation says", () => {
    expect(filesOf(config(), overlay("/kept")).rootfs).toBe("shared");
    expect(filesOf(told("org.hako.rootfs", "private"), overlay("/kept")).rootfs).toBe("shared");
  });
});

describe("volumes", () => {
  const written = (...mounts: Mount[]) => filesOf(config({ mounts }), overlay(undefined)).written;

  test("are written unless the last word is ro", () => {
    for (const mount of [bind([]), bind(["rw"]), bind(["ro", "rw"]), bind(["rbind", "rslave"])])
      expect(written(mount)).toBeTrue();
    for (const mount of [bind(["ro"]), bind(["rbind", "rw", "ro"]), bind(["rro"])])
      expect(written(mount)).toBeFalse();
  });

  test("that engines make in all containers need no server", () => {
    const destinations = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/secrets", "/dev/shm"];
    expect(written(...destinations.map((destination) => bind([], destination)))).toBeFalse();
    expect(written(bind([], "/etc/hosts2"))).toBeTrue();
  });
});

test("an annotation that is mistyped is refused: what it asks for could be less than is given", () => {
  for (const [name, value] of [
    ["org.hako.rootfs", "privat"],
    ["org.hako.files.cache", "always"],
    ["org.hako.files.cache", ""],
  ] as const)
    expect(() => filesOf(told(name, value), undefined)).toThrow(`config /annotations/${name}: "${value}": `);
  expect(filesOf(told("org.hako.files.cache", "none"), undefined).cache).toBe("none");
});

test("sockets of the host in what is bound are named", async () => {
  const directory = mkdtempSync(join(tmpdir(), "hako-sockets-"));
  const names = ["a.sock", "b.sock", "c.sock", "d.sock"];
  const servers = names.map(() => createServer());
  const listening = servers.map(
    (server, at) => new Promise<void>((done) => server.listen(join(directory, names[at] ?? ""), done)),
  );
  await Promise.all(listening);
  try {
    writeFileSync(join(directory, "file"), "");
    const bound = (source: string) =>
      hostSockets(config({ mounts: [{ ...bind(["ro"]), source }] }), directory);
    expect(bound(directory).sort()).toEqual(names.map((name) => join(directory, name)));
    expect(bound("a.sock")).toEqual([join(directory, "a.sock")]);
    for (const source of ["file", "missing"]) expect(bound(source)).toEqual([]);
    expect(hostSockets(config({ mounts: [{ destination: "/tmp", type: "tmpfs" }] }), directory)).toEqual([]);
    expect(socketsWarning([])).toBeUndefined();
    expect(socketsWarning(["/a", "/b", "/c", "/d"])).toStartWith(
      "/a, /b, /c, and 1 more: a socket of the host",
    );
  } finally {
    for (const server of servers) server.close();
    rmSync(directory, { recursive: true });
  }
});

test("what watches virtiofsd in the guest is a program of some KiB, for both machines", () => {
  for (const machine of ["x64", "arm64"]) {
    // it is not executed here: it turns the machine off
    using file = guardProgram(3, machine);
    expect(readFormat(file.path)).toMatchObject({ kind: "elf" });
  }
});

describe("virtiofsd", () => {
  test("is QEMU's or the one in Rust", () => {
    const qemu = "virtiofsd version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright (c) 2003-2022 Fabrice Bellard\n";
    expect(parseVirtiofsdVersion(qemu)).toEqual({ kind: "qemu", version: "7.2.22" });
    expect(parseVirtiofsdVersion("virtiofsd 1.13.2\n")).toEqual({ kind: "rust", version: "1.13.2" });
    expect(parseVirtiofsdVersion("virtiofsd backend 1.4.0\n")).toEqual({ kind: "rust", version: "1.4.0" });
    expect(parseVirtiofsdVersion("busybox v1.35.0")).toBeUndefined();
  });

  test("is told the same in the words of each", () => {
    const files = { socketFd: 5, cache: "none", openFiles: 1000n } as const;
    const qemu = virtiofsdArguments("qemu", files, "/trees").join(" ");
    for (const word of ["--fd=5", "source=/trees", "sandbox=chroot", "cache=none", "xattr", "posix_acl"])
      expect(qemu).toContain(word);
    const rust = virtiofsdArguments("rust", files, "/trees");
    for (const word of ["--fd=5", "--shared-dir=/trees", "--sandbox=none", "--cache=never", "--posix-acl"])
      expect(rust).toContain(word);
    expect(rust).toContain("--inode-file-handles=never");
  });
});
