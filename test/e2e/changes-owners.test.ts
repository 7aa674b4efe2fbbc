// `hako run --changes` where files have owners of a user namespace's, with images, and of what is closed to its own user.
import { expect } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { needsMappedOwners } from "./filesystems";
import { busyboxEntries, dockerArchive, tarOf } from "./image-archives";
import { giveAccount, Home, NEEDS, NEEDS_MAPS, SUBORDINATE, USER } from "./rootless-home";
import { Box, e2e, execute, HAKO, needsHako, type Result } from "./support";

interface Told {
  path: string;
  change: string;
  what: string[];
  to: { owner: string } | null;
  conflict: string | null;
}

/** A project, an image, and a directory for changes, of one who calls hako. */
class Place implements Disposable {
  readonly #box = new Box();
  readonly #home: Home | undefined;
  readonly project: string;
  readonly image: string;
  readonly directory: string;

  constructor(home?: Home) {
    this.#home = home;
    const own = join((home?.box ?? this.#box).dir, "own");
    this.project = join(own, "project");
    this.image = join(own, "image.tar");
    this.directory = join(own, "changes");
    mkdirSync(join(this.project, "src"), { recursive: true });
    writeFileSync(this.at("a"), "one\n");
    writeFileSync(this.at("src/file"), "text\n");
    writeFileSync(this.image, dockerArchive({ layers: [IMAGE] }));
    if (home !== undefined) execute("chown", ["-R", `${USER}:${USER}`, own]);
  }

  at(path: string): string {
    return join(this.project, path);
  }

  hako(...args: string[]): Result {
    if (this.#home !== undefined) return this.#home.hako(...args);
    const env = { PATH: process.env.PATH ?? "", XDG_CACHE_HOME: this.#box.path("cache") };
    return execute(HAKO, ["--root", this.#box.root, ...args], { env });
  }

  /** A line of shell whose changes are kept. */
  sh(line: string, ...flags: string[]): string {
    const root = flags.includes("--rootfs") ? [] : ["--rootfs", "/", "--workdir", this.project];
    return this.ok("run", ...root, "--changes", this.directory, ...flags, "--", "sh", "-c", line);
  }

  ok(...args: string[]): string {
    const { status, stdout, stderr } = this.hako(...args);
    if (status !== 0) throw new Error(`${args.join(" ")}: ${status}: ${stderr}`);
    return stdout;
  }

  apply(...args: string[]): Result {
    return this.hako("changes", "apply", this.directory, ...args);
  }

  /** "changed a owner 0:0 to 1000:0". */
  get list(): string[] {
    const told = JSON.parse(this.ok("changes", "--json", this.directory)) as Told[];
    return told.map(({ path, change, what, to, conflict }) =>
      [change, path.replace(`${this.project}/`, ""), what.join("+"), to?.owner, conflict]
        .filter((word) => word !== "" && word !== undefined && word !== null)
        .join(" "),
    );
  }

  [Symbol.dispose](): void {
    this.#home?.[Symbol.dispose]();
    this.#box[Symbol.dispose]();
  }
}

const IMAGE = tarOf([
  ...busyboxEntries(),
  { name: "srv/", type: "Directory", uid: 1000, gid: 1000, mode: 0o700 },
  { name: "srv/file", data: "of app\n", uid: 1000, gid: 1000, mode: 0o600 },
]);

function ownerOf(path: string): string {
  const { uid, gid } = statSync(path);
  return `${uid}:${gid}`;
}

e2e("root's --userns auto: owners are those of the host, in every run and whatever its range", () => {
  using place = new Place();
  chownSync(place.at("a"), 1234, 33);
  for (const round of [1, 2]) {
    // a range of the container's own, which is another one each time
    expect(place.sh("cat /proc/self/uid_map; stat -c %u:%g a", "--userns", "auto")).toMatch(
      /^ +0 +[1-9]\d{5,} +65536\n1234:33\n$/,
    );
    place.sh(`echo ${round} >> a; touch new; chown 5:6 new; mkdir -m 700 d; chown 7 d`, "--userns", "auto");
    expect(place.list).toEqual(["changed a content 1234:33", "added d 7:0", "added new 5:6"]);
    expect(readFileSync(place.at("a"), "utf8")).toBe("one\n");
    place.sh("rm -r d new; printf 'one\\n' > a", "--userns", "auto");
    expect(place.list).toEqual([]);
  }
  place.sh("echo x >> a; rm -r src; mkdir src; chown 7:8 src; echo y > src/other", "--userns", "auto");
  expect(place.apply()).toMatchObject({ stdout: "applied 4 changes\n", stderr: "" });
  expect(readFileSync(place.at("a"), "utf8")).toBe("one\nx\n");
  expect([ownerOf(place.at("a")), ownerOf(place.at("src"))]).toEqual(["1234:33", "7:8"]);
  expect(readdirSync(place.at("src"))).toEqual(["other"]);
  expect(readdirSync(place.directory)).toEqual([]);
  // what the overlay notes has other names
  for (const [first, second, words] of [
    [[], ["--userns", "auto"], "without --userns auto"],
    [["--userns", "auto"], [], "with --userns auto"],
  ] as const) {
    place.sh("echo more >> a", ...first);
    const other = place.hako("run", "--rootfs", "/", "--changes", place.directory, ...second, "--", "true");
    expect([other.status, other.stderr]).toEqual([125, expect.stringContaining(words)]);
    place.ok("changes", "discard", place.directory);
  }
}, [needsHako, needsMappedOwners("/"), needsMappedOwners("/tmp")]);

for (const [who, home, needs, srv] of [
  ["root", () => undefined, [needsHako], "1000:1000"],
  [
    "an ordinary user with subordinate ids",
    () => new Home(),
    NEEDS_MAPS,
    `${SUBORDINATE + 999}:${SUBORDINATE + 999}`,
  ],
] as const)
  e2e(`of an image, by ${who}: told, gone on with and discarded, and never applied`, () => {
    using place = new Place(home());
    const image = ["--rootfs", place.image, "--user", "0"];
    place.sh("echo more >> /srv/file; rm /bin/find; mkdir /new; chmod 0 /srv/file", ...image);
    const told = [
      "removed /bin/find",
      expect.stringMatching(/^added \/new \d+:\d+$/),
      `changed /srv/file content+mode ${srv}`,
    ];
    expect(place.list).toEqual(told);
    expect(place.ok("changes", "--diff", place.directory, "/srv")).toContain(" of app\n+more\n");
    expect(place.sh("cat /srv/file; ls /bin/find 2>/dev/null || true", ...image)).toBe("of app\nmore\n");
    const applied = place.apply("--force");
    expect([applied.status, applied.stderr]).toEqual([1, expect.stringContaining("which stays as it is")]);
    expect(place.hako("run", ...image, "--", "cat", "/srv/file").stdout).toBe("of app\n");
    // the cache is no place that anything depends on
    place.ok("image", "prune");
    const removed = place.hako("changes", place.directory);
    expect([removed.status, removed.stderr]).toEqual([1, expect.stringContaining("unpacks it again")]);
    place.ok("run", ...image, "--", "sh", "-c", "true");
    expect(place.list).toEqual(told);
    const other = place.hako("run", "--rootfs", "/", "--changes", place.directory, "--", "true");
    expect([other.status, other.stderr]).toEqual([
      125,
      expect.stringContaining(`it holds changes of ${place.image}`),
    ]);
    place.ok("changes", "discard", place.directory);
    expect(readdirSync(place.directory)).toEqual([]);
  }, [...needs]);

e2e("of an image with --userns auto of root's", () => {
  using place = new Place();
  const image = ["--rootfs", place.image, "--userns", "auto"];
  expect(place.sh("id -u; echo more >> /srv/file; touch /srv/new; chown 1:2 /srv/new", ...image)).toBe("0\n");
  expect(place.list).toEqual(["changed /srv/file content 1000:1000", "added /srv/new 1:2"]);
}, [needsHako, needsMappedOwners("/tmp")]);

e2e(
  "an ordinary user's --userns auto: files of subordinate ids are told, applied and removed",
  () => {
    using place = new Place(new Home());
    const auto = ["--userns", "auto", "--user", "0"];
    const line = `
    echo x >> a; chown 7 a; mkdir -m 700 d; echo s > d/secret; chmod 0 d/secret; chown -R 9:9 d
    chmod 0 src; ln d/secret d/again`;
    place.sh(line, ...auto);
    const other = `${SUBORDINATE + 8}:${SUBORDINATE + 8}`;
    expect(place.list).toEqual([
      `changed a content+owner ${SUBORDINATE + 6}:${USER}`,
      `added d ${other}`,
      `added d/again ${other}`,
      `added d/secret ${other}`,
      `changed src mode ${USER}:${USER}`,
    ]);
    expect(place.ok("changes", "--diff", place.directory, place.at("d/secret"))).toContain("+s\n");
    expect(place.apply()).toMatchObject({ status: 0, stdout: "applied 5 changes\n", stderr: "" });
    expect([ownerOf(place.at("a")), ownerOf(place.at("d/secret"))]).toEqual([
      `${SUBORDINATE + 6}:${USER}`,
      other,
    ]);
    expect(statSync(place.at("d/again")).ino).toBe(statSync(place.at("d/secret")).ino);
    expect(statSync(place.at("src")).mode & 0o777).toBe(0);
    expect(readdirSync(place.directory)).toEqual([]);
    // what an apply has made can be changed again, and be removed
    place.sh("echo t > d/third; chown 9:9 d/third; chmod 500 d", ...auto);
    place.apply();
    place.sh("rm -r d", ...auto);
    expect(place.apply()).toMatchObject({ status: 0, stderr: "" });
    expect(existsSync(place.at("d"))).toBe(false);
    place.sh(line, ...auto);
    place.ok("changes", "discard", place.directory);
    expect(readdirSync(place.directory)).toEqual([]);
  },
  NEEDS_MAPS,
);

e2e(
  "changes of --userns auto whose user has no subordinate ids any more",
  () => {
    using home = new Home();
    using place = new Place(home);
    const ids = join(home.box.dir, "subids");
    const given = readFileSync(ids, "utf8");
    const auto = ["--userns", "auto", "--user", "0"];
    const line = `have root add tester:${SUBORDINATE}:65536 to /etc/subuid and /etc/subgid again`;
    place.sh("echo x > new", ...auto);
    writeFileSync(ids, "");
    const own = `${USER}:${USER}`;
    expect(place.list).toEqual([`added new ${own}`]);
    expect(place.ok("changes", "--diff", place.directory)).toContain("+x\n");
    const applied = place.apply();
    expect([applied.status, applied.stderr]).toEqual([1, expect.stringContaining(line)]);
    expect(applied.stderr).toContain(`hako: ${place.directory} has files of subordinate ids`);
    expect(applied.stderr).not.toContain("gidMappings");
    expect(existsSync(place.at("new"))).toBe(false);
    // all that is there is the user's
    expect(place.hako("changes", "discard", place.directory)).toMatchObject({ status: 0, stderr: "" });
    expect(readdirSync(place.directory)).toEqual([]);
    writeFileSync(ids, given);
    place.sh("mkdir -m 700 d; echo s > d/secret; chown -R 9:9 d; echo x > new", ...auto);
    writeFileSync(ids, "");
    const shown = place.hako("changes", place.directory);
    expect([shown.status, shown.stderr]).toEqual([0, expect.stringContaining(line)]);
    expect(shown.stdout).toMatch(/^added +\S+\/new /m);
    // other ids would make the files nobody's
    writeFileSync(ids, given.replaceAll(String(SUBORDINATE), String(SUBORDINATE + 65_536)));
    const run = ["run", "--rootfs", "/", "--changes", place.directory, ...auto, "--", "true"];
    const other = place.hako(...run);
    expect([other.status, other.stderr]).toEqual([125, expect.stringContaining("other subordinate ids")]);
    writeFileSync(ids, "");
    const discarded = place.hako("changes", "discard", place.directory);
    expect([discarded.status, discarded.stderr]).toEqual([1, expect.stringContaining(line)]);
    writeFileSync(ids, given);
    place.ok("changes", "discard", place.directory);
    expect(readdirSync(place.directory)).toEqual([]);
  },
  NEEDS_MAPS,
);

e2e(
  "an ordinary user's --userns auto and a directory of changes that a further group alone reaches",
  () => {
    using home = new Home();
    using place = new Place(home);
    const group = 7777;
    const shared = home.box.path("shared");
    mkdirSync(join(shared, "own"), { recursive: true });
    chownSync(join(shared, "own"), USER, USER);
    chownSync(shared, 0, group);
    chmodSync(shared, 0o750);
    const directory = join(shared, "own/changes");
    const asMember = ["setpriv", "--reuid", `${USER}`, "--regid", `${USER}`, "--groups", `${group}`];
    const run = (...flags: string[]) => {
      const words = ["run", "--rootfs", "/", "--workdir", place.project, "--changes", directory, ...flags];
      const line = `${giveAccount(home.box.dir)}; exec "$@"`;
      const program = [...asMember, home.hakoPath, ...words, "--", "sh", "-c", "echo x > new"];
      return execute("unshare", ["--mount", "sh", "-c", line, "sh", ...program], { env: home.env });
    };
    const refused = run("--userns", "auto");
    expect([refused.status, refused.stderr]).toEqual([
      125,
      expect.stringContaining(`${shared} can be entered by its group ${group} alone`),
    ]);
    expect(readdirSync(join(shared, "own"))).toEqual([]);
    expect(run()).toMatchObject({ status: 0, stderr: "" });
    rmSync(directory, { recursive: true });
    chmodSync(shared, 0o751);
    expect(run("--userns", "auto")).toMatchObject({ status: 0, stderr: "" });
    expect(existsSync(join(directory, "changes.json"))).toBe(true);
  },
  NEEDS_MAPS,
);

e2e(
  "what is closed to its own user is told and applied all the same",
  () => {
    using place = new Place(new Home());
    writeFileSync(place.at("secret"), "s\n");
    chownSync(place.at("secret"), USER, USER);
    chmodSync(place.at("secret"), 0);
    chmodSync(place.at("src"), 0);
    place.sh(`
    chmod 700 src; echo x > src/added; chmod 0 src; chmod 600 secret; echo x >> secret; chmod 0 secret
    mkdir new; echo y > new/file; chmod 0 new`);
    const own = `${USER}:${USER}`;
    const told = [
      `added new ${own}`,
      `added new/file ${own}`,
      `changed secret content ${own}`,
      `added src/added ${own}`,
    ];
    expect(place.list).toEqual(told);
    expect(place.ok("changes", "--diff", place.directory, place.at("secret"))).toContain(" s\n+x\n");
    expect(place.apply()).toMatchObject({ status: 0, stdout: "applied 4 changes\n", stderr: "" });
    for (const [path, text] of [
      ["new/file", "y\n"],
      ["secret", "s\nx\n"],
      ["src/added", "x\n"],
      ["src/file", "text\n"],
    ] as const)
      expect([path, readFileSync(place.at(path), "utf8")]).toEqual([path, text]);
    for (const path of ["new", "secret", "src"]) expect(statSync(place.at(path)).mode & 0o777).toBe(0);
    // a status of the program's own comes through
    place.sh("echo z > secret 2>/dev/null || chmod 600 secret; echo z > secret; chmod 0 secret");
    writeFileSync(place.at("secret"), "the host's\n");
    expect(place.apply()).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("the host's was changed since"),
    });
    place.ok("changes", "discard", place.directory);
  },
  NEEDS,
);

e2e(
  "what belongs to somebody else, and is closed, is told and refused",
  () => {
    using place = new Place(new Home());
    place.sh("mkdir new; echo y > new/file; echo z > other");
    const [layer = ""] = execute("sh", ["-c", `find ${place.directory} -name new`])
      .stdout.trim()
      .split("\n");
    chownSync(layer, USER, 0);
    chmodSync(layer, 0);
    expect(place.list).toEqual([
      expect.stringMatching(/^added new .*its mode lets nobody read it/),
      expect.stringMatching(/^added other /),
    ]);
    expect(place.apply().status).toBe(1);
    expect(place.apply(place.at("other"))).toMatchObject({ status: 0, stdout: "applied 1 change\n" });
  },
  NEEDS,
);
