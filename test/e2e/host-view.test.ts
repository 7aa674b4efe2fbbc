// `hako run --rootfs /` of an ordinary user: the host's tree read-only, memory and overlays where the user writes.
import { expect } from "bun:test";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { AS_USER, Home, NEEDS, NEEDS_MAPS, USER } from "./rootless-home";
import { AT_ONCE, e2e, execute, executeLater, isV2, needsProgram, type Result, until } from "./support";

const rootIsOverlay = / \/ \/ .* - overlay /.test(readFileSync("/proc/self/mountinfo", "utf8"));

/** Where the user is, and what root does before, in a mount namespace of this test. */
interface Place {
  cwd?: string;
  home?: string;
  before?: string;
  env?: Record<string, string>;
}

/** A home directory of the user's below /tmp, with a project in it. */
class UserHome extends Home {
  readonly own = join(this.box.dir, "own");
  readonly project = join(this.own, "project");

  constructor() {
    super();
    for (const path of [this.own, this.project]) this.directory(path);
    this.file(join(this.project, "s.sh"), '#!/bin/sh\necho "script in $(pwd)"\n');
  }

  directory(path: string, owner = USER): string {
    mkdirSync(path, { recursive: true });
    chownSync(path, owner, owner);
    return path;
  }

  file(path: string, text: string): string {
    writeFileSync(path, text, { mode: 0o755 });
    chownSync(path, USER, USER);
    return path;
  }

  words(place: Place, args: string[], groups = ["--clear-groups"]): string[] {
    const { cwd = this.project, home = this.own, before = "true" } = place;
    const user = [...AS_USER.filter((word) => word !== "--clear-groups"), ...groups];
    const line = `set -e; ${before}; cd "$1"; shift; exec "$@"`;
    return ["--mount", "sh", "-c", line, "sh", cwd, ...user, "env", `HOME=${home}`, this.hakoPath, ...args];
  }

  as(place: Place, ...args: string[]): Result {
    return execute("unshare", this.words(place, args), { env: { ...this.env, ...place.env } });
  }

  /** `run --rootfs /` of a line of shell. */
  sh(line: string, flags: string[] = [], place: Place = {}): Result {
    return this.as(place, "run", "--rootfs", "/", ...flags, "--", "sh", "-c", line);
  }

  /** All that is in the user's home directory. */
  get files(): string {
    return execute("find", [this.own, "-printf", "%p %s %T@ %U %m\\n"]).stdout;
  }
}

e2e(
  "the caller's ids and files; writes are thrown away, and elsewhere refused",
  () => {
    using home = new UserHome();
    const before = home.files;
    const line =
      "id -u; id -g; echo $HOME; ./s.sh; touch /tmp/y /var/tmp/y /run/y /dev/shm/y ~/z ./w s.sh; rm s.sh; mkdir -p a/b; mv a c; ls -A . ~ /run; touch /etc/x; touch /x";
    const result = home.sh(line);
    const file = (path: string) => `touch: cannot touch '${path}': Read-only file system\n`;
    expect(result.stderr).toBe(file("/etc/x") + file("/x"));
    const listed = `.:\nc\nw\n\n/run:\ny\n\n${home.own}:\nproject\nz\n`;
    expect(result.stdout).toBe(`${USER}\n${USER}\n${home.own}\nscript in ${home.project}\n${listed}`);
    expect(home.files).toBe(before);
    for (const path of ["/tmp/y", "/var/tmp/y", "/run/y", "/dev/shm/y", "/etc/x"])
      expect(existsSync(path)).toBe(false);
  },
  NEEDS,
);

e2e(
  "no capability, no_new_privs, the seccomp profile; --map-root",
  () => {
    using home = new UserHome();
    const { stdout } = home.sh(
      "grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status; ls /sys/class/net; ls /dev",
    );
    expect(stdout.match(/Cap\w+:\t0{16}\n/g)).toHaveLength(5);
    expect(stdout).toContain("NoNewPrivs:\t1\nSeccomp:\t2\nlo\n");
    expect(stdout.split("\n").slice(8).join(" ").replace("core ", "").trim()).toBe(
      "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero",
    );
    const root = home.sh("id -u; id -g; echo $HOME; touch ~/x && stat -c %u ~/x; cat /etc/shadow", [
      "--map-root",
    ]);
    expect(root.stdout).toBe(`0\n0\n${home.own}\n0\n`);
    expect(root.stderr).toContain("Permission denied");
    expect(home.sh("id -u", ["--user", `${USER}`]).stdout).toBe(`${USER}\n`);
    expect(home.sh("id -u", ["--user", "tester"], { before: accountOf(home) }).stdout).toBe(`${USER}\n`);
    const other = home.sh("id -u", ["--user", "nobody"]);
    expect(other).toMatchObject({ status: 125, stdout: "" });
    expect(other.stderr).toContain('--user "nobody": a container of an ordinary user has one id');
  },
  NEEDS,
);

e2e("ssh's settings in files of root's are the user's own, since ssh takes no others", () => {
  using home = new UserHome();
  const settings = join(home.box.dir, "settings");
  mkdirSync(settings);
  const made: [name: string, text: string, mode: number][] = [
    ["10-own.conf", "Host a\n  User own\n", 0o644],
    ["20-open.conf", "Host b\n", 0o666],
    ["README", "text\n", 0o644],
  ];
  for (const [name, text, mode] of made) {
    writeFileSync(join(settings, name), text);
    chmodSync(join(settings, name), mode);
  }
  writeFileSync(join(home.box.dir, "linked"), "Host c\n  User linked\n");
  symlinkSync(join(home.box.dir, "linked"), join(settings, "30-link.conf"));
  const before = `mount --bind ${settings} /etc/ssh/ssh_config.d`;
  const line = "cd /etc/ssh/ssh_config.d; stat -Lc '%u %a' 1* 3* 2* R*; cat 10* 30*; echo x > 10-own.conf";
  const shown = home.sh(line, [], { before });
  expect(shown.stdout).toBe(
    `${USER} 644\n${USER} 644\n65534 666\n65534 644\nHost a\n  User own\nHost c\n  User linked\n`,
  );
  expect(shown.stderr).toContain("Read-only file system");
  if (needsProgram("ssh") !== undefined) return;
  const remove = `${before}; ${accountOf(home)}; rm -f ${settings}/20-open.conf`;
  const asked = home.sh("ssh -G a 2>&1 < /dev/null | grep '^user '; ssh -G c | grep '^user '", [], {
    before: remove,
  });
  expect(asked.stdout).toBe("user own\nuser linked\n");
}, [...NEEDS, existsSync("/etc/ssh/ssh_config.d") ? undefined : "there is no /etc/ssh/ssh_config.d"]);

function accountOf(home: UserHome): string {
  return `mount --bind ${home.box.dir}/passwd /etc/passwd`;
}

e2e(
  "other groups are kept; those of /etc/subgid have their names, and their files can be changed",
  () => {
    using home = new UserHome();
    const [kept, mapped] = [700_001, 700_002];
    for (const [name, group] of [
      ["kept", kept],
      ["mapped", mapped],
    ] as const) {
      const path = home.file(join(home.own, name), "read\n");
      chownSync(path, USER, group);
      chmodSync(path, 0o660);
      const roots = home.file(join(home.box.dir, name), "read\n");
      chownSync(roots, 0, group);
      chmodSync(roots, 0o640);
    }
    const before = `echo tester:${mapped}:1 > ${home.box.dir}/subgid; mount --bind ${home.box.dir}/subgid /etc/subgid; ${accountOf(home)}`;
    const groups = ["--groups", `${kept},${mapped}`];
    const bind = ["-v", `${home.box.dir}/kept:/tmp/kept:ro`, "-v", `${home.box.dir}/mapped:/tmp/mapped:ro`];
    const line = "id -G; cat /tmp/kept /tmp/mapped; echo x > ~/mapped && echo changed; echo x > ~/kept";
    const run = (place: Place) =>
      execute(
        "unshare",
        home.words(place, ["run", "--rootfs", "/", ...bind, "--", "sh", "-c", line], groups),
        {
          env: home.env,
        },
      );
    const { stdout, stderr } = run({ before });
    expect(stdout).toBe(`${USER} 65534 ${mapped}\nread\nread\nchanged\n`);
    expect(stderr).toContain("cannot create");
    expect(run({}).stdout).toBe(`${USER} 65534\nread\nread\n`);
  },
  NEEDS_MAPS,
);

e2e(
  "working directories",
  () => {
    using home = new UserHome();
    const strange = home.directory(join(home.box.dir, "a,b:c d\\e'\"ü\n#"));
    const roots = home.directory(join(home.box.dir, "roots/below"), 0);
    writeFileSync(join(roots, "file"), "read\n");
    const link = join(home.box.dir, "link");
    symlinkSync(home.project, link);
    const gone = home.directory(join(home.box.dir, "gone"));
    const closed = home.directory(join(home.box.dir, "closed"), 0);
    chmodSync(closed, 0o700);
    const write = "touch made && ls";
    expect(home.sh(write, [], { cwd: strange })).toMatchObject({ stdout: "made\n", stderr: "" });
    expect(readdirSync(strange)).toEqual([]);
    expect(home.sh("cat file; touch made", [], { cwd: roots })).toMatchObject({
      stdout: "read\n",
      stderr: "touch: cannot touch 'made': Read-only file system\n",
    });
    expect(home.sh(`pwd; ${write}`, [], { cwd: link }).stdout).toBe(`${home.project}\nmade\ns.sh\n`);
    expect(home.sh("pwd; touch ~/x", [], { cwd: "/" })).toMatchObject({ stdout: "/\n", stderr: "" });
    expect(home.sh("pwd; ls -A", [], { cwd: "/run" }).stdout).toBe("/run\n");
    const inTmp = (before: string) =>
      home.sh(`ls -d ${home.box.dir}; touch /tmp/made && echo made`, [], { cwd: "/tmp", before });
    // whatever others have mounted there
    const unmount =
      "for each in $(cut -d' ' -f5 /proc/self/mountinfo | grep ^/tmp/ | sort -r); do umount -l $each; done";
    expect(inTmp(unmount)).toMatchObject({ stdout: `${home.box.dir}\nmade\n`, stderr: "" });
    // the kernel lays no overlay over what is mounted for somebody else
    expect(inTmp(`mount -t tmpfs tmpfs ${gone}`).stdout).toBe("made\n");
    const deleted = { cwd: gone, before: `cd ${gone}; rmdir ${gone}; cd() { :; }` };
    expect(home.sh("pwd", [], deleted)).toMatchObject({ status: 125 });
    mkdirSync(gone);
    expect(home.sh("pwd", ["-w", "/"], deleted).stdout).toBe("/\n");
    const shut = home.sh("pwd", [], { cwd: closed });
    expect(shut).toMatchObject({ status: 125, stdout: "" });
    expect(shut.stderr).toContain(`chdir ${closed}: permission denied`);
    expect(home.sh("pwd; touch made && ls", ["-w", home.project]).stdout).toBe(
      `${home.project}\nmade\ns.sh\n`,
    );
  },
  NEEDS,
);

e2e(
  "a program that the container's /tmp covers is told so",
  () => {
    using home = new UserHome();
    const tool = home.file(
      join(home.directory(join(home.box.dir, "tools")), "t.sh"),
      "#!/bin/sh\necho ran\n",
    );
    const run = (...words: string[]) => home.as({}, "run", "--rootfs", "/", ...words);
    const hidden = run("--", tool);
    expect(hidden).toMatchObject({ status: 127, stdout: "" });
    const bind = `${home.box.dir}/tools:${home.box.dir}/tools`;
    expect(hidden.stderr).toContain(`the container's /tmp is its own: -v ${bind} shows yours`);
    expect(run("-v", `${bind}:ro`, "--", tool).stdout).toBe("ran\n");
    // in sight, and not there
    expect(run("--", `${home.project}/none`).stderr).not.toContain("is its own");
  },
  NEEDS,
);

e2e(
  "home directories",
  () => {
    using home = new UserHome();
    const link = join(home.box.dir, "link");
    symlinkSync(home.own, link);
    const roots = home.directory(join(home.box.dir, "roots"), 0);
    const line = "echo $HOME; touch ~/x; touch ./x && echo here";
    const sh = (where: string) => home.sh(line, [], { home: where });
    // the link is below /tmp, and not shown
    expect(sh(link)).toMatchObject({ stdout: `${home.own}\nhere\n`, stderr: "" });
    for (const [where, why] of [
      ["/", "Read-only file system"],
      ["/nonexistent", "No such file or directory"],
      ["/etc", "Read-only file system"],
      [roots, "Read-only file system"],
      [join(home.project, "s.sh"), "Not a directory"],
    ] as const) {
      const { stdout, stderr } = sh(where);
      expect([where, stdout]).toEqual([where, `${where}\nhere\n`]);
      expect(stderr).toContain(why);
    }
    // no path: that of /etc/passwd
    expect(sh("here").stdout).toBe("/\nhere\n");
    expect(home.sh("echo $HOME", ["-e", "HOME=/other"]).stdout).toBe("/other\n");
  },
  NEEDS,
);

e2e(
  "outside of /tmp, and with mounts in it: they and all else can be written",
  () => {
    using home = new UserHome();
    for (const name of ["p", "p/modules", "p/src", "mine", "roots", "empty"])
      home.directory(join(home.own, name));
    home.file(join(home.own, "p/package.json"), "{}\n");
    symlinkSync("package.json", join(home.own, "p/link"));
    const mount = (path: string, owner: number) =>
      `mount -t tmpfs tmpfs /srv/${path}; echo in > /srv/${path}/f; chown -R ${owner}:${owner} /srv/${path}`;
    const before = [
      `mount --bind ${home.own} /srv`,
      mount("p/modules", USER),
      mount("mine", USER),
      mount("roots", 0),
    ].join("; ");
    const files = home.files;
    const line =
      "cat modules/f; echo x > modules/f; touch modules/g src/h new ~/mine/i ~/j; cat link; ls -A . modules ~; rm -r src/* modules/f; touch ~/roots/k";
    const result = home.sh(line, [], { cwd: "/srv/p", home: "/srv", before });
    expect(result.stderr).toBe("touch: cannot touch '/srv/roots/k': Read-only file system\n");
    const names = "link\nmodules\nnew\npackage.json\nsrc\n";
    expect(result.stdout).toBe(
      `in\n{}\n.:\n${names}\n/srv:\nempty\nj\nmine\np\nproject\nroots\n\nmodules:\nf\ng\n`,
    );
    expect(home.files).toBe(files);
    // files beside a mount are copied, with their times, if they are not too many
    execute("truncate", ["--size", "5M", join(home.own, "p/large")]);
    chownSync(join(home.own, "p/large"), USER, USER);
    chmodSync(home.file(join(home.own, "p/closed"), "x"), 0);
    const old = home.file(join(home.own, "p/old"), "old\n");
    execute("touch", ["-d", "2001-01-01", old]);
    const beside = home.files;
    const rewrite =
      "echo new > package.json; cat link; stat -c '%y %a' old | cut -c1-11,37-; mv old older; echo x >> large; ls";
    const written = home.sh(rewrite, [], { cwd: "/srv/p", home: "/srv", before });
    expect(written.stdout).toBe(
      "new\n2001-01-01 755\nclosed\nlarge\nlink\nmodules\nolder\npackage.json\nsrc\n",
    );
    expect(written.stderr).toContain("cannot create large: Read-only file system");
    expect(home.files).toBe(beside);
    for (const name of ["large", "closed", "old"]) rmSync(join(home.own, "p", name));
    const kept = home.files;
    const whole = { cwd: "/srv/p", home: "/srv", before: `mount --bind ${home.own} /srv` };
    expect(home.sh("echo x >> package.json; cat link; touch ~/x && ls ~", [], whole)).toMatchObject({
      stdout: "{}\nx\nempty\nmine\np\nproject\nroots\nx\n",
      stderr: "",
    });
    expect(home.files).toBe(kept);
  },
  NEEDS,
);

e2e(
  "below /tmp with something mounted in it: the rest of the host's stays as it is",
  () => {
    using home = new UserHome();
    for (const name of ["mounted", "src"]) home.directory(join(home.project, name));
    writeFileSync(join(home.project, "roots"), "root's\n", { mode: 0o666 });
    chmodSync(join(home.project, "roots"), 0o666);
    const before = `mount -t tmpfs tmpfs ${home.project}/mounted; chown ${USER} ${home.project}/mounted`;
    const { files } = home;
    const line =
      "./s.sh; echo x > s.sh; echo y > src/new; echo z > mounted/new; cat s.sh src/new mounted/new roots; echo x > roots";
    const { stdout, stderr } = home.sh(line, [], { before });
    expect(stdout).toBe(`script in ${home.project}\nx\ny\nz\nroot's\n`);
    expect(stderr).toContain("cannot create roots: Read-only file system");
    expect(home.files).toBe(files);
  },
  NEEDS,
);

e2e(
  "a directory of PATH that the user may not look into is passed over, as by a shell",
  () => {
    using home = new UserHome();
    const place = {
      before: "mount -t tmpfs -o mode=700 tmpfs /mnt",
      env: { PATH: `/mnt:${process.env.PATH}` },
    };
    expect(home.as(place, "run", "--rootfs", "/", "--", "true")).toMatchObject({ status: 0, stderr: "" });
    const none = home.as(place, "run", "--rootfs", "/", "--", "no-such-program");
    expect(none).toMatchObject({ status: 127 });
    expect(none.stderr).toContain("executable file not found in $PATH (its user may not look into /mnt");
    const denied = home.as(place, "run", "--rootfs", "/", "--", "/mnt/program");
    expect(denied).toMatchObject({ status: 126 });
  },
  NEEDS,
);

e2e("where the kernel lays no overlay, files are only read, and that is told", () => {
  using home = new UserHome();
  // FILESYSTEM_MAX_STACK_DEPTH of linux/fs.h: an overlay over two of them is one too many
  const before = [
    `mkdir -p ${home.box.dir}/1 ${home.box.dir}/2`,
    `mount -t overlay overlay -o lowerdir=${home.own}:${home.box.dir}/1 /srv`,
    `mount -t overlay overlay -o lowerdir=/srv:${home.box.dir}/2 /mnt`,
  ].join("; ");
  const result = home.sh("./s.sh; touch x", [], { cwd: "/mnt/project", home: "/nonexistent", before });
  expect(result.stdout).toBe("script in /mnt/project\n");
  expect(result.stderr).toContain("/mnt/project can't be written: the kernel lays no overlay over it");
  expect(result.stderr).toContain("touch: cannot touch 'x': Read-only file system");
}, [...NEEDS, rootIsOverlay ? "the root file system is an overlay already" : undefined]);

e2e(
  "mounts of one's own, also where the host has no such directory; --read-only",
  () => {
    using home = new UserHome();
    const volume = home.directory(join(home.box.dir, "volume"));
    home.file(join(volume, "f"), "in\n");
    const line =
      "cat /new-place/f; touch /new-place/made; cat /etc/hako-new/f; touch /etc/hako-new/no; touch /opt/hako-new/x && echo x; cat /tmp/a/b; ls -d /etc/passwd /usr/bin /tmp ~";
    const result = home.sh(line, [
      ...["-v", `${volume}:/new-place`, "-v", `${volume}:/etc/hako-new:ro`],
      ...["--tmpfs", "/opt/hako-new", "--mount", `type=bind,source=${volume}/f,target=/tmp/a/b,ro`],
    ]);
    expect(result.stderr).toBe("touch: cannot touch '/etc/hako-new/no': Read-only file system\n");
    expect(result.stdout).toBe(`in\nin\nx\nin\n/etc/passwd\n/tmp\n${home.own}\n/usr/bin\n`);
    expect(readdirSync(volume).sort()).toEqual(["f", "made"]);
    for (const path of ["/new-place", "/etc/hako-new", "/opt/hako-new"]) expect(existsSync(path)).toBe(false);
    const only = home.sh(
      "for f in /tmp/x /run/x ./x ~/x /etc/x; do touch $f; done; touch /data/x /dev/shm/x && ./s.sh",
      [...["--read-only", "-v", `${volume}:/data`]],
    );
    expect(only.stderr.match(/Read-only file system/g)).toHaveLength(5);
    expect(only.stdout).toBe(`script in ${home.project}\n`);
  },
  NEEDS,
);

e2e("the host's sockets don't answer, and nothing of the host can be written", async () => {
  using home = new UserHome();
  const [ownSocket, ownDir] = [`/run/${home.box.names}s`, `/run/${home.box.names}d`];
  const server = home.file(
    join(home.box.dir, "server.py"),
    `import os, socket, sys, time
kept = []
for name in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX)
    s.bind("\\0${home.box.names}" if name == "-" else name)
    if name != "-": os.chmod(name, 0o777)
    s.listen(8)
    kept.append(s)
print("up", flush=True)
time.sleep(600)
`,
  );
  const client = home.file(
    join(home.project, "client.py"),
    `import socket, sys
for name in sys.argv[1:]:
    try:
        socket.socket(socket.AF_UNIX).connect("\\0${home.box.names}" if name == "-" else name)
        print("reached", name)
    except OSError as error:
        print(error.strerror)
`,
  );
  const sockets = [join(home.own, "s"), join(home.project, "s"), join(home.box.dir, "s"), ownSocket];
  mkdirSync(ownDir, { mode: 0o755 });
  writeFileSync(join(ownDir, "f"), "root's\n");
  const listening = Bun.spawn(["python3", server, ...sockets, "-", join(ownDir, "s")], { stdout: "pipe" });
  try {
    await listening.stdout.getReader().read();
    const outside = execute("python3", [client, ...sockets, "-"]);
    expect(outside.stdout.match(/reached/g)).toHaveLength(5);
    const inside = home.sh(`python3 client.py ${sockets.join(" ")} -`);
    expect(inside.stdout).not.toContain("reached");
    expect(inside.stdout.trim().split("\n")).toHaveLength(5);
    // a directory of root's in one that is memory is there where hako is called in it; its files are read, its socket does not answer
    const roots = home.sh(
      `cat f; python3 ${home.project}/client.py s`,
      ["-v", `${home.project}:${home.project}`],
      {
        cwd: ownDir,
      },
    );
    expect(roots.stdout).toBe("root's\nConnection refused\n");
  } finally {
    listening.kill();
    for (const path of [ownSocket, ownDir]) rmSync(path, { force: true, recursive: true });
  }
  const suid = join(home.own, "suid");
  copyFileSync("/usr/bin/id", suid);
  chmodSync(suid, 0o4755);
  const victim = home.file(join(home.own, "victim"), "untouched\n");
  const before = home.files;
  const tries = [
    `~/suid -u`,
    `for p in /proc/1/root /proc/self/root /proc/1/cwd; do echo x > $p${victim}; echo x > $p/etc/x; done`,
    "for f in /proc/self/fd/*; do readlink $f; done",
    "mount -o remount,rw,bind /; umount -l /tmp; umount -l /proc",
    "unshare -Urm true; nsenter -t 1 -m true; chroot / true",
    "echo 1 > /proc/sys/kernel/panic; echo b > /proc/sysrq-trigger; ls /proc | grep -c '^[0-9]'",
    "echo x > /sys/kernel/mm/ksm/run; echo $$ > /sys/fs/cgroup/cgroup.procs",
    "mknod ./n c 1 3 && cat ./n; ls /dev/vda /dev/sda /dev/mem /dev/kmsg",
  ];
  const result = home.sh(tries.join("; "), ["--seccomp", "off"]);
  expect(result.stdout).toStartWith(`${USER}\n`);
  const open = result.stdout.split("\n").filter((text) => text.startsWith("/") && text !== "/dev/null");
  expect(open.filter((text) => !text.includes("-output-") && !text.startsWith("/proc/"))).toEqual([]);
  expect(home.files).toBe(before);
  const nested =
    "umount -l /tmp; umount -l /run; mount -o remount,rw,bind /; touch /etc/x; mount --bind /proc /mnt; umount /proc; exit 7";
  expect(home.sh(`unshare -Urm sh -c '${nested}'`, ["--seccomp", "off"]).status).toBe(7);
  expect(existsSync("/etc/x")).toBe(false);
}, [...NEEDS, needsProgram("python3")]);

e2e(
  "-d, list, exec, ps, kill, delete, --keep, -t",
  async () => {
    using home = new UserHome();
    const id = home.box.id();
    const before = home.files;
    const hako = (...args: string[]) => home.as({}, ...args);
    expect(hako("run", "-d", "--rootfs", "/", "--name", id, "--", "sleep", "600")).toMatchObject({
      status: 0,
    });
    expect(hako("list", "--quiet").stdout).toBe(`${id}\n`);
    const line =
      "id -u; pwd; touch ./made /tmp/made ~/made; ls; touch /etc/x; grep Seccomp: /proc/self/status";
    const exec = hako("exec", id, "sh", "-c", line);
    expect(exec.stdout).toBe(`${USER}\n${home.project}\nmade\ns.sh\nSeccomp:\t2\n`);
    expect(exec.stderr).toBe("touch: cannot touch '/etc/x': Read-only file system\n");
    expect(hako("exec", id, "ls").stdout).toBe("made\ns.sh\n");
    expect(hako("ps", id).stdout).toContain("sleep 600");
    expect(hako("kill", id, "KILL").status).toBe(0);
    await until("it has ended", () => JSON.parse(hako("state", id).stdout).status === "stopped");
    expect(hako("delete", id).status).toBe(0);
    expect(home.sh("exit 3", ["--keep", "--name", id]).status).toBe(3);
    expect(JSON.parse(hako("state", id).stdout)).toMatchObject({ status: "stopped", exitCode: 3 });
    expect(hako("delete", id).status).toBe(0);
    expect(home.sh("tty; id -u", ["-t"])).toMatchObject({ status: 0, stderr: "" });
    expect(home.files).toBe(before);
    expect(readdirSync(join(home.runtime, "hako"))).toEqual([]);
  },
  NEEDS,
);

e2e(
  "limits without a cgroup are refused by name, and nothing runs; other warnings there are none",
  () => {
    using home = new UserHome();
    expect(home.sh("echo runs")).toMatchObject({ status: 0, stdout: "runs\n", stderr: "" });
    for (const flag of [
      ["--memory", "64M"],
      ["--pids", "9"],
      ["--cpus", "1"],
    ]) {
      const { status, stdout, stderr } = home.sh("echo runs", flag);
      expect([flag, status, stdout]).toEqual([flag, 125, ""]);
      expect(stderr).toContain("limits need a cgroup that this user may write");
    }
  },
  NEEDS,
);

e2e("limits by a cgroup that is delegated to the user @v2", () => {
  using home = new UserHome();
  const top = `/sys/fs/cgroup/${home.box.names}delegated`;
  mkdirSync(join(top, "main"), { recursive: true });
  try {
    writeFileSync("/sys/fs/cgroup/cgroup.subtree_control", "+memory +pids");
    execute("chown", ["-R", `${USER}`, top]);
    const flags = ["--memory", "64M", "--pids", "20"];
    const before = `echo $$ > ${top}/main/cgroup.procs`;
    const line = "cat /proc/self/cgroup /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max";
    expect(home.sh(line, flags, { before })).toMatchObject({
      status: 0,
      // the first process is one more
      stdout: `0::/\n${64 << 20}\n21\n`,
      stderr: "",
    });
    const full = home.sh("tail /dev/zero", ["--memory", "20M"], { before });
    expect(full.status).toBe(137);
    expect(full.stderr).toContain("hako: memory limit of 20M reached\n");
  } finally {
    for (const dir of [join(top, "main"), top]) rmdirSync(dir);
  }
}, [...NEEDS, isV2 ? undefined : "cgroup v2 is not mounted"]);

e2e(
  "where there are no user namespaces that is told",
  () => {
    using home = new UserHome();
    const limit = "/proc/sys/user/max_user_namespaces";
    const inside = ["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c"];
    const words = [...inside, `echo 0 > ${limit}; exec "$@"`, "sh", home.hakoPath, "run", "--rootfs", "/"];
    const [first = "", ...others] = [...AS_USER, ...words, "--", "true"];
    const result = execute(first, others, { env: home.env });
    expect(result).toMatchObject({ status: 125, stdout: "" });
    expect(result.stderr).toContain("user.max_user_namespaces is 0");
  },
  NEEDS,
);

e2e(
  "many at once, and some that are killed: nothing is left but what delete removes",
  async () => {
    using home = new UserHome();
    const before = home.files;
    const line = "touch ./a ~/b /tmp/c && echo $$";
    const words = home.words({}, ["run", "--rootfs", "/", "--", "sh", "-c", line]);
    const runs = await Promise.all(
      Array.from({ length: AT_ONCE }, () => executeLater("unshare", words, undefined, home.env)),
    );
    for (const each of runs) expect(each).toMatchObject({ status: 0, stderr: "" });
    expect(home.files).toBe(before);
    expect(readdirSync(join(home.runtime, "hako"))).toEqual([]);
    const slow = home.words({}, ["run", "--rootfs", "/", "--", "sh", "-c", "touch ./a ~/b; sleep 1"]);
    await Promise.all(
      Array.from({ length: 10 }, (_, index) => executeLater("unshare", slow, 5 + index * 12, home.env)),
    );
    expect(home.files).toBe(before);
  },
  NEEDS,
);
