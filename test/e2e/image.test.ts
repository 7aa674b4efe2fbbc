// `hako run --rootfs IMAGE`: archives and layouts are unpacked once, and lie under an overlay.
import { describe, expect } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { needsAttributes, needsUpper } from "./filesystems";
import { busyboxEntries, dockerArchive, type Entry, layoutFiles, tarOf, writeFiles } from "./image-archives";
import { AS_USER, Home, NEEDS, NEEDS_MAPS, SUBORDINATE, USER } from "./rootless-home";
import {
  Box,
  busyboxRootfs,
  e2e,
  execute,
  executeLater,
  HAKO,
  needsHako,
  needsProgram,
  type Result,
  until,
} from "./support";

const BASE = tarOf(busyboxEntries());

/** A box with a cache of its own. */
class Images extends Box {
  readonly cache = this.path("cache");
  readonly env = { PATH: process.env.PATH ?? "", XDG_CACHE_HOME: this.cache };

  run2(image: string, ...words: string[]): Result {
    return this.call("run", "--rootfs", image, ...words);
  }

  call(...words: string[]): Result {
    return this.hakoWith({ env: this.env, cwd: this.dir }, ...words);
  }

  write(name: string, bytes: Uint8Array): string {
    writeFileSync(this.path(name), bytes);
    return this.path(name);
  }

  images(): string[] {
    const directory = `${this.cache}/hako/images`;
    return existsSync(directory)
      ? readdirSync(directory).filter((name) => !name.endsWith(".lock") && name !== "sources")
      : [];
  }
}

const IMAGE = { layers: [BASE], config: { Cmd: ["echo", "from CMD"] } };

describe("run --rootfs IMAGE", () => {
  for (const [name, bytes] of [
    ["plain.tar", BASE],
    ["plain.tar.gz", gzipSync(BASE)],
    ["plain.tar.zst", zstdCompressSync(BASE)],
    ["saved.tar", dockerArchive(IMAGE)],
    ["saved.tar.gz", gzipSync(dockerArchive(IMAGE))],
  ] as const) {
    e2e(`${name}: runs, writes are thrown away, and it is unpacked once`, () => {
      using box = new Images();
      const file = box.write(name, bytes);
      for (let time = 0; time < 2; time++)
        expect(
          box.run2(file, "--", "sh", "-c", "ls /written; touch /written /bin/other; ls /written"),
        ).toEqual({
          status: 0,
          signal: null,
          stdout: "/written\n",
          stderr: "ls: /written: No such file or directory\n",
        });
      expect(box.images()).toHaveLength(1);
    }, [needsHako]);
  }

  e2e("oci:DIR and oci:DIR:TAG, an oci-archive, and which of several images", () => {
    using box = new Images();
    const other = { layers: [BASE], config: { Cmd: ["echo", "the other"] } };
    const files = layoutFiles({ first: IMAGE, other });
    writeFiles(box.path("layout"), files);
    writeFiles(box.path("single"), layoutFiles({ some: IMAGE }));
    const archive = tarOf(Object.entries(files).map(([name, data]) => ({ name, data })));
    box.write("archive.tar", archive);
    expect(box.run2("oci:layout:other").stdout).toBe("the other\n");
    expect(box.run2("oci:layout:first").stdout).toBe("from CMD\n");
    expect(box.run2("oci:single").stdout).toBe("from CMD\n");
    expect(box.run2("oci-archive:archive.tar:other").stdout).toBe("the other\n");
    const several = box.run2("oci:layout");
    expect(several.status).not.toBe(0);
    expect(several.stderr).toContain("has 2 images: first, other");
    expect(box.run2("oci:layout:third").stderr).toContain('has no image "third" (it has first, other)');
    // the same image is one in the cache, wherever it came from
    expect(box.images()).toHaveLength(2);
  }, [needsHako]);

  e2e("a directory with an image layout is named by oci:", () => {
    using box = new Images();
    writeFiles(box.path("layout"), layoutFiles({ some: IMAGE }));
    const result = box.run2("layout", "--", "true");
    expect(result.stderr).toContain("oci:");
    expect(readdirSync(box.path("layout")).sort()).toEqual(["blobs", "index.json", "oci-layout"]);
  }, [needsHako]);

  e2e("ENV, WORKDIR, USER, ENTRYPOINT, CMD and STOPSIGNAL hold, and flags change them", () => {
    using box = new Images();
    const config = {
      Env: ["PATH=/bin", "COLOUR=blue", "SHAPE=round"],
      Entrypoint: ["sh", "-c", 'echo "$COLOUR $SHAPE $(pwd) $(id -un) $*"', "name"],
      Cmd: ["from", "cmd"],
      WorkingDir: "/srv/deep",
      User: "app",
      StopSignal: "SIGUSR1",
      Volumes: { "/data/volume": {} },
    };
    const image = box.write("image.tar", dockerArchive({ layers: [BASE], config }));
    expect(box.run2(image).stdout).toBe("blue round /srv/deep app from cmd\n");
    const id = box.id();
    expect(box.run2(image, "-e", "SHAPE=flat", "--user", "0", "-w", "/etc", id, "--", "given").stdout).toBe(
      "blue flat /etc root given\n",
    );
    const volume = box.run2(image, "--entrypoint", "ls", "--", "-d", "/data/volume");
    expect(volume).toMatchObject({ status: 0, stdout: "/data/volume\n" });
    expect(box.run2(image, "--entrypoint", "").stderr).toContain("missing COMMAND");
    const writable = "touch /data/volume/x && echo volume; touch /y 2>/dev/null || echo read-only";
    expect(
      box.run2(image, "--read-only", "--user", "0", "--entrypoint", "sh", "--", "-c", writable).stdout,
    ).toBe("volume\nread-only\n");
    const waiting = box.id();
    const trap = "trap 'exit 7' USR1; echo ready; while :; do sleep 0.1; done";
    expect(box.run2(image, "-d", "--entrypoint", "sh", waiting, "--", "-c", trap).status).toBe(0);
    expect(box.ok("state", waiting).stdout).toContain("SIGUSR1");
    box.ok("delete", "--force", waiting);
  }, [needsHako]);

  e2e("--keep-writes keeps them, of an image and of a directory; --discard throws a directory's away", () => {
    using box = new Images();
    const image = box.write("image.tar", dockerArchive(IMAGE));
    busyboxRootfs(box.path("root"));
    const before = readdirSync(box.path("root"));
    for (const rootfs of [image, "root"]) {
      const kept = rootfs === "root" ? "kept-root" : "kept";
      expect(
        box.run2(rootfs, "--keep-writes", kept, "--", "sh", "-c", "echo x > /mark; rm /etc/group").status,
      ).toBe(0);
      expect(box.run2(rootfs, "--keep-writes", kept, "--", "sh", "-c", "cat /mark; ls /etc").stdout).toBe(
        "x\npasswd\n",
      );
      expect(readFileSync(box.path(`${kept}/upper/mark`), "utf8")).toBe("x\n");
    }
    expect(box.run2("root", "--discard", "--", "sh", "-c", "echo y > /mark; cat /mark").stdout).toBe("y\n");
    expect(box.run2(image, "--", "ls", "/mark").status).not.toBe(0);
    expect(readdirSync(box.path("root"))).toEqual(before);
    const inside = box.run2("root", "--keep-writes", "root/tmp", "--", "true");
    expect(inside).toMatchObject({ status: 2 });
    expect(box.run2("root", "--discard", "--keep-writes", "kept", "--", "true").status).toBe(2);
    expect(box.run2("root", "--entrypoint", "sh", "--", "true").status).toBe(2);
  }, [needsHako, needsUpper("/tmp")]);

  e2e("--keep-writes DIR of a container that is there is refused, whatever its path", async () => {
    using box = new Images();
    busyboxRootfs(box.path("root"));
    symlinkSync("kept", box.path("link"));
    const refused = () => {
      const result = box.run2("root", "--keep-writes", "link", "--", "true");
      expect(result).toMatchObject({ status: 125, stdout: "" });
      expect(result.stderr).toContain(
        `${box.path("kept")} keeps the writes of a container that is still there`,
      );
    };
    const id = box.id();
    expect(box.run2("root", "--keep-writes", "kept", "-d", id, "--", "sleep", "60").status).toBe(0);
    refused();
    box.ok("delete", "--force", id);
    const kept = ["--root", box.root, "run", "--rootfs", box.path("root"), "--keep-writes", box.path("kept")];
    // of several at once one goes on
    const all = [1, 2, 3, 4].map(() =>
      Bun.spawn([HAKO, ...kept, "--", "sh", "-c", "read go; echo one"], {
        ...{ env: box.env, stdin: "pipe", stdout: "pipe", stderr: "ignore" },
      }),
    );
    await until("the others have ended", () => all.filter(({ exitCode }) => exitCode === 125).length === 3);
    for (const { stdin } of all) stdin.end();
    expect((await Promise.all(all.map(({ stdout }) => stdout.text()))).join("")).toBe("one\n");
    expect(statSync(box.path("kept/upper")).mode & 0o777).toBe(statSync(box.path("root")).mode & 0o777);
  }, [needsHako, needsUpper("/tmp")]);

  e2e("a mount below a directory is seen, and what is written to it is thrown away, too", () => {
    using box = new Images();
    busyboxRootfs(box.path("root"));
    const line = `mount -t tmpfs tmpfs ${box.path("root/tmp")} && echo seen > ${box.path("root/tmp/file")} &&
      "$@" --root ${box.root} run --rootfs ${box.path("root")} --discard -- sh -c 'cat /tmp/file; echo x > /tmp/file' &&
      cat ${box.path("root/tmp/file")}`;
    const result = execute("unshare", ["--mount", "sh", "-c", line, "sh", HAKO], { env: box.env });
    expect(result).toMatchObject({ status: 0, stdout: "seen\nseen\n", stderr: "" });
  }, [needsHako, needsProgram("unshare")]);

  e2e("layers: whiteouts, opaque directories, replaced files and links, hard links, owners, modes, times", () => {
    using box = new Images();
    const first = tarOf([
      ...busyboxEntries(),
      { name: "a/gone", data: "1" },
      { name: "a/stays", data: "2" },
      { name: "opaque/old", data: "3" },
      { name: "opaque/deep/old", data: "3" },
      { name: "file-then-directory", data: "4" },
      { name: "link", type: "SymbolicLink", link: "/etc/passwd" },
      { name: "usr/lib/", type: "Directory" },
      { name: "lib", type: "SymbolicLink", link: "usr/lib" },
    ]);
    const second = tarOf([
      { name: "a/.wh.gone" },
      { name: "opaque/new", data: "5" },
      { name: "opaque/deep/new", data: "5" },
      { name: "opaque/.wh..wh..opq" },
      { name: "file-then-directory/", type: "Directory", mode: 0o1777 },
      { name: "link", data: "a file now" },
      { name: "lib/through-link", data: "6", mode: 0o4751, uid: 12, gid: 34, mtime: 1_000_000_000 },
      { name: "hard", type: "Link", link: "lib/through-link" },
      { name: ".wh..wh.plnk/1.2", data: "aufs" },
      { name: "old/", type: "Directory", mtime: 1_100_000_000 },
      { name: "old/file", data: "" },
    ]);
    const image = box.write("image.tar", dockerArchive({ layers: [first, second] }));
    const script = `find /a /opaque; cat /link; echo; cat /etc/passwd; stat -c '%a %u %g %Y %h' /usr/lib/through-link
      stat -c '%a' /file-then-directory; stat -c '%Y' /old; cat /hard; ls -a /`;
    const { stdout } = box.run2(image, "--", "sh", "-c", script);
    const lines = stdout.split("\n");
    expect(lines.slice(0, 6).sort()).toEqual([
      "/a",
      "/a/stays",
      "/opaque",
      "/opaque/deep",
      "/opaque/deep/new",
      "/opaque/new",
    ]);
    expect(lines.slice(6)).toEqual(
      expect.arrayContaining([
        "a file now",
        "root:x:0:0::/root:/bin/sh",
        "4751 12 34 1000000000 2",
        "1777",
        "1100000000",
      ]),
    );
    expect(stdout).not.toContain(".wh.");
    expect(stdout).toContain("\n6");
  }, [needsHako]);

  e2e("extended attributes, sparse files, names of any bytes, long names", () => {
    using box = new Images();
    const long = `long/${"x".repeat(200)}/${"y".repeat(200)}`;
    const map = Buffer.alloc(512);
    map.write("2\n0\n3\n1048576\n3\n");
    const capability = new Uint8Array([1, 0, 0, 2, 0x80, 0x24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    const plain = box.write(
      "plain.tar",
      tarOf([
        ...busyboxEntries(),
        { name: long, data: "long" },
        { name: "two\nlines", data: "n", pax: { path: "two\nlines" } },
        { name: "bytes", data: "b", pax: { path: new Uint8Array([0xff, 0x41]) } },
        {
          name: "able",
          data: "c",
          pax: { "SCHILY.xattr.security.capability": capability, "SCHILY.xattr.user.a": "b=c\nd" },
        },
        {
          name: "marked",
          data: "c",
          pax: { "SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.user.overlay.whiteout": "y" },
        },
        {
          name: "GNUSparseFile.0/sparse",
          data: Buffer.concat([map, Buffer.from("onetwo")]),
          pax: {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": "sparse",
            "GNU.sparse.realsize": "2097152",
          },
        },
      ]),
    );
    const listed = box.run2(
      plain,
      "--",
      "sh",
      "-c",
      `cat /${long}; cat '/two\nlines'; cat /?A; stat -c '%s' /sparse`,
    );
    expect(listed).toMatchObject({ status: 0, stdout: "longnb2097152\n" });
    const rootfs = `${box.cache}/hako/images/${box.images()[0]}/rootfs`;
    const sparse = readFileSync(`${rootfs}/sparse`);
    expect([sparse.toString("latin1", 0, 3), sparse.toString("latin1", 1048576, 1048579)]).toEqual([
      "one",
      "two",
    ]);
    expect(statSync(`${rootfs}/sparse`).blocks).toBeLessThan(64);
    const attributes = execute("python3", [
      "-c",
      "import os,sys; r=sys.argv[1]; print(os.getxattr(r+'/able','security.capability')[:6].hex(), os.getxattr(r+'/able','user.a'), os.listxattr(r+'/marked'))",
      rootfs,
    ]);
    expect(attributes.stdout).toBe("010000028024 b'b=c\\nd' []\n");
  }, [needsHako, needsProgram("python3"), needsAttributes("/tmp")]);

  for (const format of ["gnu", "posix --sparse-version=0.1", "posix --sparse-version=1.0"]) {
    e2e(`sparse files of many parts as GNU tar writes them: ${format}`, () => {
      using box = new Images();
      busyboxRootfs(box.path("root"));
      const line = `cd root && for i in $(seq 0 99); do printf part$i | dd of=holes bs=64K seek=$i conv=notrunc 2>/dev/null; done
        truncate -s 8M holes && tar --sparse --format=${format} -cf ../image.tar . && sha256sum < holes`;
      const sum = execute("sh", ["-c", line], { cwd: box.dir }).stdout;
      const result = box.run2("image.tar", "--", "sh", "-c", "sha256sum < /holes; stat -c '%s' /holes");
      expect(result).toMatchObject({ status: 0, stdout: `${sum}${8 << 20}\n` });
      const file = `${box.cache}/hako/images/${box.images()[0]}/rootfs/holes`;
      expect(statSync(file).blocks).toBeLessThan(2000);
    }, [needsHako, needsProgram("tar")]);
  }

  e2e("what hako can't uncompress is refused with the command that does", () => {
    using box = new Images();
    const xz = box.write("image.tar.xz", Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 4]));
    expect(box.run2(xz, "--", "true").stderr).toContain(`unxz < ${xz} > FILE.tar makes a plain archive`);
    expect(box.images()).toEqual([]);
  }, [needsHako]);

  e2e("an archive that has changed is unpacked again", () => {
    using box = new Images();
    const file = box.write("plain.tar", tarOf([...busyboxEntries(), { name: "version", data: "1" }]));
    utimesSync(file, 1, 1);
    expect(box.run2(file, "--", "cat", "/version").stdout).toBe("1");
    box.write("plain.tar", tarOf([...busyboxEntries(), { name: "version", data: "2" }]));
    utimesSync(file, 1, 1);
    expect(box.run2(file, "--", "cat", "/version").stdout).toBe("2");
  }, [needsHako]);

  e2e("several at once unpack once; a killed one leaves nothing half", async () => {
    using box = new Images();
    const large = { name: "large", data: Buffer.alloc(64 << 20, "x") };
    const file = box.write("plain.tar.gz", gzipSync(tarOf([...busyboxEntries(), large]), { level: 1 }));
    const words = ["--root", box.root, "run", "--rootfs", file, "--", "stat", "-c", "%s", "/large"];
    const killed = await executeLater(HAKO, words, 150, box.env);
    expect(killed.signal).toBe("SIGKILL");
    const all = await Promise.all([1, 2, 3].map(() => executeLater(HAKO, words, undefined, box.env)));
    for (const result of all)
      expect(result).toMatchObject({ status: 0, stdout: `${64 << 20}\n`, stderr: "" });
    expect(box.images()).toHaveLength(1);
  }, [needsHako]);
});

describe("the cache, and bundles", () => {
  e2e("image list, remove, prune; one that is used stays", () => {
    using box = new Images();
    expect(box.call("image", "list", "--json").stdout).toBe("[]\n");
    expect(box.call("image", "prune")).toMatchObject({ status: 0, stdout: "" });
    const first = box.write("first.tar", dockerArchive(IMAGE));
    const second = box.write("second.tar", BASE);
    const id = box.id();
    expect(box.run2(first, "-d", id, "--", "sleep", "60").status).toBe(0);
    expect(box.run2(second, "--", "true").status).not.toBe(0);
    const images = JSON.parse(box.call("image", "list", "--json").stdout);
    expect(images).toMatchObject([
      { source: first, inUse: true },
      { source: second, inUse: false },
    ]);
    expect(images[0].size).toBeGreaterThan(500_000);
    expect(box.call("image", "list").stdout).toContain(second);
    expect(box.call("image", "remove", first)).toMatchObject({ status: 1 });
    expect(box.call("image", "remove", "nothing").stderr).toContain(
      'no image "nothing" (hako image list shows them)',
    );
    mkdirSync(`${box.cache}/hako/images/source-left.tmp/rootfs`, { recursive: true });
    expect(box.call("image", "prune")).toMatchObject({ status: 0, stdout: `${images[1].id}\n` });
    expect(box.images()).toHaveLength(1);
    box.ok("delete", "--force", id);
    expect(box.call("image", "rm", images[0].id.slice(7, 19))).toMatchObject({ status: 0, stderr: "" });
    expect(box.images()).toEqual([]);
    expect(readdirSync(`${box.cache}/hako/images`)).toEqual(["sources"]);
    // and it can be unpacked again
    expect(box.run2(first).stdout).toBe("from CMD\n");
  }, [needsHako]);

  e2e("unpack makes a bundle, whole or not at all", () => {
    using box = new Images();
    const config = {
      Cmd: ["sh", "-c", 'echo "$COLOUR $(pwd) $(id -un)"'],
      Env: ["COLOUR=blue"],
      WorkingDir: "/srv",
      User: "app",
    };
    box.write("image.tar", dockerArchive({ layers: [BASE], config }));
    box.write("broken.tar", BASE.subarray(0, 100_000));
    writeFiles(box.path("layout"), layoutFiles({ some: IMAGE }));
    expect(box.call("unpack", "image.tar", "web")).toMatchObject({ status: 0, stdout: "", stderr: "" });
    expect(readdirSync(box.path("web")).sort()).toEqual(["config.json", "rootfs"]);
    expect(box.call("run", "--bundle", "web", box.id()).stdout).toBe("blue /srv app\n");
    mkdirSync(box.path("empty"));
    expect(box.call("unpack", "oci:layout", "empty").status).toBe(0);
    expect(box.call("run", "--bundle", "empty", box.id()).stdout).toBe("from CMD\n");
    const again = box.call("unpack", "oci:layout", "web");
    expect(again).toMatchObject({ status: 1 });
    expect(again.stderr).toContain("is there already, and not an empty directory");
    expect(box.call("unpack", "broken.tar", "other").stderr).toContain("cut off");
    expect(
      readdirSync(box.dir).filter((name) => name.includes("other") || name.includes("unpacking")),
    ).toEqual([]);
    expect(box.images()).toEqual([]);
  }, [needsHako]);
});

describe("images elsewhere", () => {
  e2e(
    "as an ordinary user: all files are the user's, and an image's user is refused by name",
    () => {
      using home = new Home();
      const { box } = home;
      const config = { Cmd: ["sh", "-c", "stat -c %u /etc/passwd /bin/odd; touch /x /etc/x && echo wrote"] };
      const odd = tarOf([{ name: "bin/odd", data: "x", uid: 1234, gid: 5678, mode: 0o4755 }]);
      writeFileSync(box.path("image.tar"), dockerArchive({ layers: [BASE, odd], config }));
      writeFileSync(
        box.path("user.tar"),
        dockerArchive({ layers: [BASE], config: { ...config, User: "app" } }),
      );
      const call = (...words: string[]) =>
        execute(AS_USER[0] ?? "", [...AS_USER.slice(1), home.hakoPath, ...words], {
          env: { ...home.env, XDG_CACHE_HOME: home.runtime },
        });
      const result = call("run", "--rootfs", box.path("image.tar"));
      expect(result).toMatchObject({ status: 0, stdout: "0\n0\nwrote\n" });
      expect(call("image", "list", "--json").stdout).toContain(box.path("image.tar"));
      const other = call("run", "--rootfs", box.path("user.tar"));
      expect(other.stderr).toContain('the image\'s user "app": a container of an ordinary user has one id');
      expect(call("run", "--rootfs", box.path("user.tar"), "--user", "0").stdout).toContain("wrote");
      expect(call("image", "prune").status).toBe(0);
    },
    NEEDS,
  );

  e2e("as an ordinary user: --keep-writes DIR of a container that is there is refused", () => {
    using home = new Home();
    busyboxRootfs(home.box.path("root"));
    const kept = `${home.runtime}/kept`;
    const words = ["run", "--rootfs", home.box.path("root"), "--keep-writes", kept];
    expect(home.hako(...words, "-d", "--name", "holder", "--", "sleep", "60").status).toBe(0);
    expect(home.hako(...words, "--", "true").stderr).toContain(
      "keeps the writes of a container that is still there",
    );
    expect(home.hako("delete", "--force", "holder").status).toBe(0);
    expect(home.hako(...words, "--", "true")).toMatchObject({ status: 0, stderr: "" });
  }, [...NEEDS, needsUpper("/tmp")]);

  const OWNED = tarOf([
    ...busyboxEntries(),
    { name: "srv/", type: "Directory", uid: 1000, gid: 1000, mode: 0o700 },
    { name: "srv/file", data: "of app", uid: 1000, gid: 1000, mode: 0o600 },
    { name: "bin/odd", data: "x", uid: 1234, gid: 5678, mode: 0o4755 },
  ]);

  e2e(
    "as an ordinary user with subordinate ids: owners, USER and --user are the image's",
    () => {
      using home = new Home();
      const line = "id; stat -c '%u %g %a' /srv /bin/odd; cat /srv/file; touch /srv/new; stat -c %u /srv/new";
      const config = { User: "app", Cmd: ["sh", "-c", line] };
      const image = home.box.path("image.tar");
      writeFileSync(image, dockerArchive({ layers: [OWNED], config }));
      const run = (...words: string[]) => home.hako("run", "--rootfs", image, ...words);
      expect(run()).toMatchObject({
        status: 0,
        stdout: "uid=1000(app) gid=1000(app)\n1000 1000 700\n1234 5678 4755\nof app1000\n",
        stderr: "",
      });
      expect(run("--user", "0", "--", "id").stdout).toBe("uid=0(root) gid=0(root)\n");
      expect(run("--user", "4242:77", "--", "id").stdout).toBe("uid=4242 gid=77\n");
      expect(run("--user", "65537", "--", "id").stderr).toContain(
        "65537:0 is none of the ids that this container has",
      );
      // unpacked once, for the ids that these files have on the host
      const [entry, ...more] = cached(home);
      expect(more).toEqual([]);
      expect(statSync(`${home.runtime}/hako/images/${entry}/rootfs/srv`).uid).toBe(SUBORDINATE + 999);
      // who says that all is one user's has another form of it
      expect(run("--map-root", "--user", "0", "--", "stat", "-c", "%u", "/bin/odd").stdout).toBe("0\n");
      expect(cached(home)).toHaveLength(2);
      const listed: { owners: string }[] = JSON.parse(home.hako("image", "list", "--json").stdout);
      expect(listed.map(({ owners }) => owners)).toEqual(["several", "one"]);
      expect(run("-d", "--name", "holder", "--user", "0", "--", "sleep", "60").status).toBe(0);
      expect(home.hako("image", "remove", image)).toMatchObject({ status: 1 });
      expect(home.hako("delete", "--force", "holder").status).toBe(0);
      expect(home.hako("image", "remove", image)).toMatchObject({ status: 0, stderr: "" });
      expect(cached(home)).toEqual([]);
      expect(run("--", "id").status).toBe(0);
      expect(home.hako("image", "prune").stdout).toStartWith("sha256:");
      expect(cached(home)).toEqual([]);
      expect(home.box.hako("image", "inside", "remove", image).stdout).toContain("in a user namespace");
      expect(existsSync(image)).toBe(true);
    },
    NEEDS_MAPS,
  );

  e2e("as an ordinary user with subordinate ids: what is kept has owners, too", () => {
    using home = new Home();
    const image = home.box.path("image.tar");
    writeFileSync(
      image,
      dockerArchive({ layers: [OWNED], config: { User: "app", Cmd: ["touch", "/srv/new"] } }),
    );
    const run = (...words: string[]) => home.hako("run", "--rootfs", image, ...words);
    const kept = `${home.runtime}/kept`;
    expect(run("--keep-writes", kept)).toMatchObject({ status: 0, stderr: "" });
    expect(statSync(`${kept}/upper/srv/new`).uid).toBe(SUBORDINATE + 999);
    expect(run("--keep-writes", kept, "--", "ls", "/srv").stdout).toBe("file\nnew\n");
  }, [...NEEDS_MAPS, needsUpper("/tmp")]);

  e2e(
    "as an ordinary user with subordinate ids: a root directory that another user of the image keeps to itself",
    () => {
      using home = new Home();
      const image = home.box.path("image.tar");
      const top = { name: "./", type: "Directory", uid: 1000, gid: 1000, mode: 0o700 } as const;
      writeFileSync(image, tarOf([top, ...busyboxEntries()]));
      const run = (...words: string[]) => home.hako("run", "--rootfs", image, ...words);
      expect(run("--", "id")).toMatchObject({ status: 0, stdout: "uid=0(root) gid=0(root)\n", stderr: "" });
      expect(run("--user", "1000:1000", "--", "sh", "-c", "id -u; touch /x").stdout).toBe("1000\n");
      const named = run("--user", "app", "--", "id");
      expect(named.stderr).toMatch(/--user "app": .*permission denied \(numbers of user and group/);
    },
    NEEDS_MAPS,
  );

  e2e(
    "as an ordinary user with subordinate ids whose newuidmap gets no rights: all files are the user's, with a word",
    () => {
      using home = new Home();
      const image = home.box.path("image.tar");
      writeFileSync(image, OWNED);
      const words = ["run", "--rootfs", image, "--", "stat", "-c", "%u", "/srv/file"];
      const result = home.after(["setpriv", "--no-new-privs"], ...words);
      expect(result).toMatchObject({ status: 0, stdout: "0\n" });
      expect(result.stderr).toMatch(/all files of the image belong to you.*new.idmap/);
      expect(result.stderr.trimEnd().split("\n")).toHaveLength(1);
      expect(home.hako(...words)).toMatchObject({ status: 0, stdout: "1000\n", stderr: "" });
    },
    NEEDS_MAPS,
  );

  e2e(
    "as an ordinary user with subordinate ids: an owner that is none of them, and one that was killed",
    async () => {
      using home = new Home();
      const foreign = tarOf([...busyboxEntries(), { name: "far", data: "x", uid: 70_000, gid: 70_000 }]);
      const image = home.box.path("far.tar");
      writeFileSync(image, foreign);
      const refused = home.hako("run", "--rootfs", image, "--", "id");
      expect(refused.stderr).toMatch(
        /"far": its owner 70000:70000 is none of your subordinate ids.*--map-root/,
      );
      expect(refused.stderr.trimEnd().split("\n")).toHaveLength(1);
      expect(cached(home)).toEqual([]);
      expect(home.hako("run", "--rootfs", image, "--map-root", "--", "id").status).toBe(0);
      expect(home.hako("image", "prune").status).toBe(0);
      const large = { name: "large", data: Buffer.alloc(200 << 20, "x") };
      const last = home.box.path("large.tar.gz");
      writeFileSync(last, gzipSync(Buffer.concat([OWNED.subarray(0, -1024), tarOf([large])]), { level: 1 }));
      const left = `${home.runtime}/hako/images/*.tmp/rootfs`;
      const line = `"$@" & until ls -d ${left} > /dev/null 2>&1; do sleep 0.02; done; sleep 0.1; kill -9 $!; wait $!`;
      const killing = ["sh", "-c", line, "sh"];
      expect(home.after(killing, "run", "--rootfs", last, "--", "id").status).toBe(137);
      expect(cached(home)).toMatchObject([expect.stringMatching(/\.tmp$/)]);
      expect(home.hako("run", "--rootfs", last, "--", "stat", "-c", "%s", "/large").stdout).toBe(
        `${200 << 20}\n`,
      );
      expect(cached(home)).toMatchObject([expect.stringMatching(/^sha256-/)]);
    },
    NEEDS_MAPS,
  );

  e2e("on a terminal one line says how far it is, and goes away", () => {
    using box = new Images();
    const large = { name: "large", data: Buffer.alloc(400 << 20, "x") };
    const file = box.write("plain.tar.gz", gzipSync(tarOf([...busyboxEntries(), large]), { level: 1 }));
    const line = `${HAKO} --root ${box.root} run --rootfs ${file} -- echo done`;
    const { stdout } = execute("script", ["--quiet", "--command", line, "/dev/null"], { env: box.env });
    const seen = stdout.replaceAll("\r\u001b[K", "<");
    expect(seen).toMatch(/<unpacking \S+plain.tar.gz: \d+ % of [\d.]+ [KM]iB</);
    expect(seen).toMatch(/<done\r?\n$/);
  }, [needsHako, needsProgram("script")]);
});

/** What must not be made or changed. */
interface Outside {
  secret: string;
}

const HOSTILE: Readonly<Record<string, (outside: Outside) => { bytes: Uint8Array; says?: RegExp }>> = {
  "a name with ..": () => ({
    bytes: tarOf([{ name: "../../../../../../../../tmp/hako-escaped", data: "x" }]),
    says: /\.\./,
  }),
  "an absolute name": ({ secret }) => ({
    bytes: tarOf([...busyboxEntries(), { name: secret, data: "changed" }]),
  }),
  "a symbolic link out of the root, and a file through it": ({ secret }) => ({
    bytes: tarOf([
      ...busyboxEntries(),
      { name: "out", type: "SymbolicLink", link: secret.replace(/\/[^/]*$/, "") },
      { name: "out/secret", data: "changed" },
    ]),
  }),
  "a symbolic link up, and a file through it": ({ secret }) => ({
    bytes: tarOf([
      ...busyboxEntries(),
      {
        name: "out",
        type: "SymbolicLink",
        link: `../../../../../../../../..${secret.replace(/\/[^/]*$/, "")}`,
      },
      { name: "out/secret", data: "changed" },
    ]),
  }),
  "a symbolic link to a file, and the file": ({ secret }) => ({
    bytes: tarOf([
      ...busyboxEntries(),
      { name: "out", type: "SymbolicLink", link: secret },
      { name: "out", data: "changed" },
    ]),
  }),
  "a hard link out of the root": ({ secret }) => ({
    bytes: tarOf([{ name: "hard", type: "Link", link: secret }]),
    says: /link's target/,
  }),
  "a hard link with ..": ({ secret }) => ({
    bytes: tarOf([{ name: "hard", type: "Link", link: `../../../../../../../..${secret}` }]),
    says: /\.\./,
  }),
  "a hard link through a symbolic link": ({ secret }) => ({
    bytes: tarOf([
      { name: "out", type: "SymbolicLink", link: secret },
      { name: "hard", type: "Link", link: "out" },
      { name: "hard", data: "changed" },
      ...busyboxEntries(),
    ]),
  }),
  "a whiteout of ..": () => ({
    bytes: dockerArchive({ layers: [BASE, tarOf([{ name: "a/.wh..." }])] }),
    says: /whiteout|sh/,
  }),
  "a whiteout through a link": ({ secret }) => ({
    bytes: dockerArchive({
      layers: [
        tarOf([
          ...busyboxEntries(),
          { name: "out", type: "SymbolicLink", link: secret.replace(/\/[^/]*$/, "") },
        ]),
        tarOf([{ name: "out/.wh.secret" }, { name: "out/.wh..wh..opq" }]),
      ],
    }),
  }),
  "an entry below a file": () => ({
    bytes: tarOf([
      { name: "file", data: "x" },
      { name: "file/below", data: "x" },
    ]),
    says: /below/,
  }),
  "cut off in a header": () => ({ bytes: BASE.subarray(0, 700), says: /cut off/ }),
  "cut off in a file": () => ({ bytes: BASE.subarray(0, 100_000), says: /cut off/ }),
  "cut off in gzip": () => ({ bytes: gzipSync(BASE).subarray(0, 100_000), says: /gzip/ }),
  "no archive at all": () => ({
    bytes: Buffer.from("#!/bin/sh\necho hello\n".repeat(100)),
    says: /not a tar archive/,
  }),
  "an empty file": () => ({ bytes: new Uint8Array(), says: /empty/ }),
  "a size beyond all": () => ({
    bytes: tarOf([{ name: "large", data: "x", pax: { size: "99999999999999999999" } }]),
    says: /size/,
  }),
  "a size that is not there": () => ({
    bytes: tarOf([{ name: "large", data: "x", size: 1 << 30 }]),
    says: /cut off/,
  }),
  "a pax header that says another length": () => ({
    bytes: tarOf([
      { name: "x", type: "ExtendedHeader", data: "999 path=a\n" },
      { name: "y", data: "" },
    ]),
    says: /pax header/,
  }),
  "a header of a gigabyte": () => ({
    bytes: tarOf([{ name: "x", type: "ExtendedHeader", size: 1 << 30 }]),
    says: /header of/,
  }),
  "a name with NUL": () => ({
    bytes: tarOf([{ name: "x", data: "", pax: { path: "a\0b" } }]),
    says: /not a name/,
  }),
  "a name that is too long": () => ({
    bytes: tarOf([{ name: "x", data: "", pax: { path: `${"d/".repeat(1990)}x` } }]),
    says: /path of more than|too long/,
  }),
  "a layer with another digest": () => {
    const archive = dockerArchive({ layers: [BASE] });
    const at = archive.indexOf("root:x:0:0");
    archive.write("toor", at);
    return { bytes: archive, says: /digest is sha256:/ };
  },
  "a configuration with another digest": () => {
    const archive = dockerArchive({ layers: [BASE] });
    archive.write("LINUX", archive.indexOf('"linux"') + 1);
    return { bytes: archive, says: /digest is sha256:/ };
  },
  "a layer that is missing": () => ({
    bytes: tarOf([
      { name: "manifest.json", data: JSON.stringify([{ Config: `${"0".repeat(64)}.json`, Layers: [] }]) },
    ]),
    says: /missing/,
  }),
};

/** What an ordinary user's cache has, but for locks. */
function cached(home: Home): string[] {
  const directory = `${home.runtime}/hako/images`;
  return existsSync(directory)
    ? readdirSync(directory).filter((name) => !/\.lock$|^sources$/.test(name))
    : [];
}

describe("hostile archives", () => {
  for (const [name, make] of Object.entries(HOSTILE)) {
    const outside = (box: Box): string => {
      mkdirSync(box.path("outside"));
      writeFileSync(box.path("outside/secret"), "secret");
      return box.path("outside/secret");
    };
    const check = (box: Box, result: Result, says: RegExp | undefined, images: readonly string[]) => {
      const secret = box.path("outside/secret");
      expect(readFileSync(secret, "utf8")).toBe("secret");
      expect(statSync(secret).nlink).toBe(1);
      expect(readdirSync(box.path("outside"))).toEqual(["secret"]);
      expect(existsSync("/tmp/hako-escaped")).toBe(false);
      if (says === undefined) {
        expect(result).toMatchObject({ status: 0, stderr: "" });
        return;
      }
      expect(result.status).not.toBe(0);
      expect(result.stderr).toMatch(says);
      expect(result.stderr.trimEnd().split("\n")).toHaveLength(1);
      expect(images).toEqual([]);
    };

    e2e(`${name}: nothing outside, one line`, () => {
      using box = new Images();
      const secret = outside(box);
      const { bytes, says } = make({ secret });
      const result = box.run2(box.write("image.tar", bytes), "--", "sh", "-c", "true");
      check(box, result, says, box.images());
    }, [needsHako]);

    e2e(
      `${name}: an ordinary user's with several owners`,
      () => {
        using home = new Home();
        const { box } = home;
        const secret = outside(box);
        // it is the user's own, who could write it
        execute("chown", ["-R", `${USER}:${USER}`, box.path("outside")]);
        const { bytes, says } = make({ secret });
        writeFileSync(box.path("image.tar"), bytes);
        const result = home.hako("run", "--rootfs", box.path("image.tar"), "--", "sh", "-c", "true");
        check(box, result, says, cached(home));
      },
      NEEDS_MAPS,
    );
  }

  e2e("devices are not made, duplicated entries are the last one's", () => {
    using box = new Images();
    const file = box.write(
      "image.tar",
      tarOf([
        ...busyboxEntries(),
        { name: "disk", type: "BlockDevice" },
        { name: "dev/mem", type: "CharacterDevice" },
        { name: "twice", data: "first" },
        { name: "twice", data: "second" },
        { name: "hard", type: "Link", link: "twice" },
        { name: "hard", data: "third" },
        { name: "bin/", type: "Directory", mode: 0o755 },
      ]),
    );
    const result = box.run2(file, "--", "sh", "-c", "cat /twice /hard; ls /disk");
    expect(result.stdout).toBe("secondthird");
    expect(result.stderr).toContain("1 device nodes are left out");
    expect(result.stderr).toContain("ls: /disk: No such file");
  }, [needsHako]);

  e2e("a bomb ends before the file system is full", () => {
    using box = new Images();
    const bomb = gzipSync(tarOf([...busyboxEntries(), { name: "zeros", data: Buffer.alloc(256 << 20) }]));
    const file = box.write("bomb.tar.gz", bomb);
    expect(bomb.length).toBeLessThan(2 << 20);
    mkdirSync(box.cache);
    const line = `mount -t tmpfs -o size=48M tmpfs ${box.cache} && "$@"; status=$?; find ${box.cache} -type f -size +0; exit $status`;
    const words = [
      "--mount",
      "sh",
      "-c",
      line,
      "sh",
      HAKO,
      "--root",
      box.root,
      "run",
      "--rootfs",
      file,
      "--",
      "true",
    ];
    const result = execute("unshare", words, { env: box.env });
    expect(result.status).not.toBe(0);
    expect(result.stderr).toMatch(/^hako: --rootfs .*no space left.*\n$/);
    expect(result.stdout).toBe("");
  }, [needsHako, needsProgram("unshare")]);

  e2e("a layout whose blobs are links or no files", () => {
    using box = new Images();
    const files = layoutFiles({ some: IMAGE });
    const config = Object.entries(files).find(([, bytes]) => bytes.includes("diff_ids"))?.[0] ?? "";
    writeFiles(box.path("layout"), files);
    writeFiles(box.path("elsewhere"), { blob: files[config] ?? new Uint8Array() });
    execute("rm", [box.path(`layout/${config}`)]);
    symlinkSync(box.path("elsewhere/blob"), box.path(`layout/${config}`));
    expect(box.run2("oci:layout").stderr).toContain("is missing");
    execute("rm", [box.path(`layout/${config}`)]);
    execute("mkfifo", [box.path(`layout/${config}`)]);
    expect(box.run2("oci:layout").stderr).toContain("is not a file");
    execute("rm", [box.path(`layout/${config}`)]);
    writeFiles(box.path("layout"), { [config]: Buffer.from("{}") });
    expect(box.run2("oci:layout").stderr).toMatch(/has 2 bytes, not \d+/);
  }, [needsHako]);

  e2e("a hundred thousand entries", () => {
    using box = new Images();
    const entries: Entry[] = Array.from({ length: 100_000 }, (_, index) => ({
      name: `d${index % 100}/f${index}`,
    }));
    const file = box.write("many.tar.gz", gzipSync(tarOf([...busyboxEntries(), ...entries]), { level: 1 }));
    const result = box.run2(file, "--", "sh", "-c", "set -- /d7/*; echo $#");
    expect(result).toMatchObject({ status: 0, stdout: "1000\n", stderr: "" });
  }, [needsHako]);
});
