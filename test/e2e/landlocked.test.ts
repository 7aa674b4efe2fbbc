// run --weaker namespaces: no container, but Landlock and seccomp. Each attack is shown to succeed outside, so that the test can fail.
import { describe, expect } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import {
  Box,
  e2e,
  execute,
  executeLater,
  HAKO,
  type Needs,
  needsHako,
  needsProgram,
  type Result,
  until,
} from "./support";

/** What `check` says of this kernel. */
function needsLandlock(): Needs {
  const rows = JSON.parse(execute(HAKO, ["check", "--json"]).stdout || "[]") as {
    name: string;
    found: string;
  }[];
  const found = rows.find(({ name }) => name === "landlock")?.found ?? "";
  return found.includes("--weaker namespaces") ? undefined : `Landlock: ${found}`;
}

const needs = [needsHako, needsProgram("python3"), needsHako === undefined ? needsLandlock() : undefined];
const USER = 1234;

/** A home directory with a project in it. */
class Home implements Disposable {
  readonly path = mkdtempSync("/tmp/hako-e2e-landlocked-");

  constructor(readonly uid: number) {
    for (const directory of ["", ".ssh", "project", "project/.git", "project/.git/hooks", "project/src"])
      this.#own(join(this.path, directory), (path) => mkdirSync(path, { recursive: true }));
    for (const file of [".ssh/id", "notes", "project/file"])
      this.#own(join(this.path, file), (path) => writeFileSync(path, `${file}\n`));
  }

  #own(path: string, make: (path: string) => void): void {
    make(path);
    chownSync(path, this.uid, this.uid);
    chmodSync(path, 0o755);
  }

  /** Runs words as its owner, in it. */
  run(...words: string[]): Result {
    const as = ["--reuid", String(this.uid), "--regid", String(this.uid), "--clear-groups"];
    return execute("setpriv", [...(this.uid === 0 ? [] : as), ...words], {
      cwd: this.path,
      env: { PATH: process.env.PATH ?? "/usr/bin:/bin", HOME: this.path },
    });
  }

  confined(flags: string[], ...command: string[]): Result {
    return this.run(HAKO, "run", "--rootfs", "/", "--weaker", "namespaces", ...flags, "--", ...command);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

const python = (text: string) => `python3 -c '${text}'`;
const socket = (line: string) => python(`import socket as s; ${line}`);

/** What a line of shell does that it must not, in the home directory. */
const ATTACKS: Record<string, string> = {
  "a key, by name": "cat .ssh/id",
  "a key, by ..": "cat project/../.ssh/id",
  "a key, by /proc": "cat /proc/self/cwd/.ssh/id",
  "the directory of keys": "ls .ssh/",
  "another's environment": "cat /proc/$OUTER/environ > /dev/null",
  "another's root": "ls /proc/$OUTER/root/ > /dev/null",
  "a signal to another": "kill -0 $OUTER",
  "another's limits": python(
    'import os, resource as r; r.prlimit(int(os.environ["OUTER"]), r.RLIMIT_CORE, (0, 0))',
  ),
  "a file outside": "echo x >> notes",
  "a truncated file": python('import os; os.truncate("notes", 0)'),
  "a truncated file, opened for reading": python('import os; os.open("notes", os.O_RDONLY | os.O_TRUNC)'),
  "a new file": "echo x > new",
  "a moved file": "mv notes project/notes",
  "a hard link": "ln notes project/hard",
  "a removed file": "rm -f notes",
  "a mode": "chmod 600 notes",
  "a time": "touch -d @0 notes",
  "an attribute": python('import os; os.setxattr("notes", "user.x", b"1")'),
  "a hook": "echo x > project/.git/hooks/pre-commit",
  "a hook, in a new directory": "mv project/.git project/git && mkdir -p project/.git/hooks",
  "a connection to the host": socket(
    's.create_connection(("127.0.0.1", int(__import__("os").environ["PORT"])))',
  ),
  "a packet": socket('s.socket(s.AF_INET, s.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))'),
  "a connection by IPv6": socket("s.socket(s.AF_INET6, s.SOCK_DGRAM)"),
  "a unix socket": socket("s.socket(s.AF_UNIX)"),
  "shared memory": "ipcmk -M 64",
};

describe.each([
  ["root", 0],
  ["a user", USER],
] as const)("%s", (_, uid) => {
  e2e(
    "attacks fail that succeed outside",
    () => {
      using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("") });
      const around = (line: string) =>
        `sleep 60 & export OUTER=$! PORT=${server.port}; ${line}; status=$?; kill $OUTER; exit $status`;
      for (const [name, line] of Object.entries(ATTACKS)) {
        using free = new Home(uid);
        const { status, stderr } = free.run("sh", "-c", around(line));
        expect({ name, status, stderr }).toEqual({ name, status: 0, stderr });
      }
      using home = new Home(uid);
      // one after the other: none changes anything
      const each = Object.values(ATTACKS).map(
        () => `said=$( (sh -c "$1") 2>&1 ); echo "$? $said" | tr '\\n' ' '; echo; shift`,
      );
      const flags = "--hide .ssh --write project --protect project/.git/hooks -e OUTER -e PORT";
      const script = join(home.path, "script");
      writeFileSync(script, each.join("\n"), { mode: 0o755 });
      const confined = `"$0" run --rootfs / --weaker namespaces ${flags} -- sh ./script "$@"`;
      const { stdout } = home.run("sh", "-c", around(confined), HAKO, ...Object.values(ATTACKS));
      const said = stdout.trimEnd().split("\n");
      for (const [index, name] of Object.keys(ATTACKS).entries()) {
        expect({ name, said: said[index] }).toEqual({
          name,
          said: expect.stringMatching(/^[1-9]\d* .*(denied|not permitted|Errno 1\b|Errno 13|cannot|can't)/i),
        });
      }
      expect(readFileSync(join(home.path, "notes"), "utf8")).toBe("notes\n");
      expect(existsSync(join(home.path, "new"))).toBeFalse();
      if (uid === 0)
        execute("sh", ["-c", "ipcs -m | awk '$6 == 0 && $5 == 64 {print $2}' | xargs -r -n1 ipcrm -m"]);
      else
        execute("sh", ["-c", `ipcs -m | awk '$3 == ${USER} || $5 == 64 {print $2}' | xargs -r -n1 ipcrm -m`]);
    },
    needs,
    240_000,
  );

  e2e(
    "what is allowed is done: reading, and writing where it may",
    () => {
      using home = new Home(uid);
      const lines = `cat notes; echo new > project/new; mkdir project/src/d; mv project/src/d project/e; rm project/file; ls project
      id -u; ls / > /dev/null; echo out > /dev/null; echo error >&2; cat /dev/stdin; cat /proc/self/comm`;
      const { stderr, stdout, status } = home.confined(["--write", "project"], "sh", "-c", lines);
      expect({ stderr, stdout, status }).toEqual({
        stderr: "error\n",
        stdout: `notes\ne\nnew\nsrc\n${uid}\ncat\n`,
        status: 0,
      });
    },
    needs,
  );

  e2e(
    "a directory with a hidden file is listed, one with a hidden directory is not; what is closed is told",
    () => {
      using home = new Home(uid);
      const line = "ls -A . project; cat notes; ls -A .ssh; echo x > project/new; echo more >> project/file";
      const said = (...flags: string[]) => home.confined(["--write", "project", ...flags], "sh", "-c", line);
      const files = said("--hide", "notes", "--hide", "project/file");
      expect(files.stdout).toBe(".:\n.ssh\nnotes\nproject\n\nproject:\n.git\nfile\nsrc\nid\n");
      expect(files.stderr).toContain(
        `hako: warning: without namespaces nothing is made or removed in ${home.path}/project: what is protected or hidden is below\n`,
      );
      expect(files.stderr).toMatch(
        /notes: Permission denied\n(.*\n)*.*project\/new: Permission denied\n.*project\/file: Permission denied\n$/,
      );
      const directory = said("--hide", "project/src", "--hide", ".ssh");
      expect(directory.stdout).toBe("notes\n");
      expect(directory.stderr).toContain(
        `without namespaces nobody lists ${home.path}/project: a hidden directory`,
      );
      expect(existsSync(join(home.path, "project/new"))).toBeFalse();
      expect(readFileSync(join(home.path, "project/file"), "utf8")).toBe("project/file\nmore\n");
    },
    needs,
  );

  e2e(
    "hako's own state is out of reach in what is written, also where it was not there",
    () => {
      using home = new Home(uid);
      const root = join(home.path, "project/state/hako");
      const line = `echo x > ${root}/id; mkdir -p ${root}/other; mv project/state project/away; mv ${root} project/away; ls ${root}; echo done > project/src/file`;
      const words = [HAKO, "--root", root, "run", "--rootfs", "/", "--weaker", "namespaces"];
      expect(home.run(...words, "--write", "project", "--", "sh", "-c", line).stdout).toBe("");
      expect(readdirSync(join(home.path, "project")).sort()).toEqual([".git", "file", "src", "state"]);
      expect(readdirSync(root)).toEqual([]);
      expect(readFileSync(join(home.path, "project/src/file"), "utf8")).toBe("done\n");
      const inside = home.run(...words, "--write", root, "--", "true");
      expect(inside).toMatchObject({ status: 2, stderr: expect.stringContaining("out of sight") });
    },
    needs,
  );

  e2e(
    "attributes are free where it is asked for; the report names what there is not",
    () => {
      using home = new Home(uid);
      const words = [HAKO, "run", "--rootfs", "/", "--report", "report", "--write", "project"];
      const line = "chmod 700 project/file && touch project/file";
      const plain = home.run(...words, "--weaker", "namespaces", "--", "sh", "-c", line);
      expect(plain.status).toBe(1);
      const report = () => JSON.parse(readFileSync(join(home.path, "report"), "utf8"));
      expect(report()).toMatchObject({ id: null, exitCode: 1, weaker: ["namespaces"], hakoError: null });
      expect(home.run(...words, "--weaker", "attributes", "--", "sh", "-c", line)).toMatchObject({
        status: 0,
      });
      expect(report()).toMatchObject({ exitCode: 0, weaker: ["namespaces", "attributes"] });
    },
    needs,
  );
});

describe("a command without a container", () => {
  // seen among all processes of the host, where others may sleep too
  const seconds = `9${process.pid}`;
  const sleep = (which: number) => `sleep ${seconds}${which}`;
  const nobodySleeps = () => execute("pgrep", ["-f", `^sleep ${seconds}`]).stdout === "";
  const words = (...flags: string[]) => ["run", "--rootfs", "/", "--weaker", "namespaces", ...flags];

  e2e(
    "its status is hako's; what can't be executed, what is not there",
    () => {
      const status = (...command: string[]) => execute(HAKO, [...words("--"), ...command]).status;
      expect(status("sh", "-c", "exit 7")).toBe(7);
      expect(status("sh", "-c", "kill -KILL $$")).toBe(137);
      expect(status("/etc/passwd")).toBe(126);
      expect(status("no-such-program")).toBe(127);
    },
    needs,
  );

  e2e(
    "nothing of it is left: what goes on in the background, what is another session's",
    async () => {
      using home = new Home(0);
      const line = `(${sleep(1)} &); setsid ${sleep(2)} & setsid sh -c 'trap "" TERM; ${sleep(3)}' & sleep 0.2; exec true`;
      expect(home.confined([], "sh", "-c", line).status).toBe(0);
      const late = home.confined(
        ["--timeout", "1s", "--grace", "1s", "--quiet"],
        "sh",
        "-c",
        `${line}; ${sleep(4)}`,
      );
      expect(late.status).toBe(0);
      const both = `setsid ${sleep(5)} & ${sleep(6)}`;
      const timed = home.confined(["--timeout", "1s", "--quiet"], "sh", "-c", both);
      expect(timed.status).toBe(124);
      await until("none sleeps", nobodySleeps);
    },
    needs,
  );

  e2e(
    "signals come to its group; its end is that of a killed hako",
    async () => {
      const run = executeLater("timeout", [
        "--preserve-status",
        "-s",
        "INT",
        "1",
        HAKO,
        ...words("--", "sh", "-c", `${sleep(7)}; echo on`),
      ]);
      expect(await run).toMatchObject({ status: 130, stdout: "" });
      execute("timeout", ["-s", "KILL", "1", HAKO, ...words("--", ...sleep(8).split(" "))]);
      await until("none sleeps", nobodySleeps);
    },
    needs,
  );

  e2e(
    "what only a container has is refused, by name",
    () => {
      using box = new Box();
      for (const [flags, word] of [
        [["--memory", "64M"], "--memory"],
        [["--name", "job"], "--name"],
        [["job"], "an id"],
        [["--detach"], "--detach"],
        [["--tty"], "--tty"],
        [["--seccomp", "off"], "--seccomp"],
        [["--cap-add", "SYS_ADMIN"], "--cap-add"],
        [["-v", "/etc:/mnt"], "--volume"],
        [["--changes", box.path("changes")], "--changes"],
        [["--user", "7"], "--user"],
        [["--driver", "vm"], "--driver"],
        [["--network", "/proc/self/ns/net"], "--network"],
      ] as const) {
        const { status, stderr } = box.hako(...words(...flags, "--", "true"));
        expect({ word, status, stderr }).toEqual({ word, status: 2, stderr: expect.stringContaining(word) });
      }
      expect(existsSync(box.path("changes"))).toBeFalse();
      const elsewhere = box.hako("run", "--rootfs", box.path(""), "--weaker", "namespaces", "--", "true");
      expect(elsewhere).toMatchObject({ status: 2, stderr: expect.stringContaining("is for --rootfs /") });
    },
    needs,
  );

  e2e(
    "--ulimit, -e, --workdir, --cap-drop, --network host",
    () => {
      const line = 'ulimit -n; echo "$A"; pwd; grep CapEff /proc/self/status';
      const flags = ["--ulimit", "nofile=77", "-e", "A=b", "--workdir", "/usr", "--cap-drop", "ALL"];
      expect(execute(HAKO, [...words(...flags), "--", "sh", "-c", line]).stdout).toBe(
        "77\nb\n/usr\nCapEff:\t0000000000000000\n",
      );
      using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("") });
      const connect = socket(`s.create_connection(("127.0.0.1", ${server.port}))`);
      expect(execute(HAKO, [...words("--network", "host"), "--", "sh", "-c", connect])).toMatchObject({
        status: 0,
      });
      const unix = execute(HAKO, [
        ...words("--network", "host"),
        "--",
        "sh",
        "-c",
        socket("s.socket(s.AF_UNIX)"),
      ]);
      expect(unix.status).toBe(1);
    },
    needs,
  );
});

describe("Landlock on top of mounts", () => {
  /** Gives a directory of the host to who connects to a socket, in a process of the host. */
  const GIVER = `import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()
print(flush=True)
c, _ = s.accept(); socket.send_fds(c, [b"x"], [os.open(sys.argv[2], os.O_RDONLY)])`;
  const TAKER = `import os, socket
s = socket.socket(socket.AF_UNIX); s.connect("/run/given/socket")
fd = socket.recv_fds(s, 1, 1)[1][0]
print(os.read(os.open("secret", os.O_RDONLY, dir_fd=fd), 9).decode())`;

  e2e(
    "a descriptor that leads out opens nothing there; without Landlock it does",
    async () => {
      for (const [flags, said] of [
        [[], /Permission denied: 'secret'\n$/],
        [["--seccomp", "off"], /^key\n$/],
      ] as const) {
        using box = new Box();
        for (const name of ["given", "outside"]) mkdirSync(box.path(name), { recursive: true });
        writeFileSync(box.path("outside/secret"), "key");
        const giver = Bun.spawn(["python3", "-c", GIVER, box.path("given/socket"), box.path("outside")], {
          stdout: "pipe",
        });
        await giver.stdout.getReader().read();
        const given = ["--rootfs", "/", "-v", `${box.path("given")}:/run/given`];
        const { stdout, stderr } = box.hako("run", ...given, ...flags, "--", "python3", "-c", TAKER);
        expect(`${stdout}${stderr}`).toMatch(said);
        await giver.exited;
      }
    },
    needs,
  );

  e2e(
    "what the caller has opened is opened again, files and directories",
    () => {
      using box = new Box();
      const [input, output] = [box.path("in"), box.path("out")];
      writeFileSync(input, "in");
      mkdirSync(box.path("directory"));
      writeFileSync(box.path("directory/file"), "file");
      const line = `"$0" --root ${box.root} run --rootfs / --preserve-fds 1 -- sh -c '
      cat /dev/stdin /proc/self/fd/3/file; echo more >> /dev/stdout' < ${input} > ${output} 3< ${box.path("directory")}`;
      expect(execute("sh", ["-c", line, HAKO])).toMatchObject({ status: 0, stderr: "" });
      expect(readFileSync(output, "utf8")).toBe("infilemore\n");
    },
    needs,
  );

  e2e(
    "what exec runs has the same: a descriptor that leads out, what the caller has opened, its report",
    async () => {
      using box = new Box();
      for (const name of ["given", "outside"]) mkdirSync(box.path(name), { recursive: true });
      writeFileSync(box.path("outside/secret"), "key");
      const id = box.id();
      const given = ["-v", `${box.path("given")}:/run/given`];
      box.ok("run", "--detach", "--rootfs", "/", ...given, id, "--", "sleep", "600");
      const { landlock } = JSON.parse(box.ok("state", id).stdout);
      expect(landlock).toBeGreaterThan(1);
      for (const [flags, said, abi] of [
        [[], /Permission denied: 'secret'\n$/, landlock],
        // who asks for the right to trace is not confined, as with run
        [["--cap", "SYS_PTRACE"], /^key\n$/, null],
      ] as const) {
        rmSync(box.path("given/socket"), { force: true });
        const giver = Bun.spawn(["python3", "-c", GIVER, box.path("given/socket"), box.path("outside")], {
          stdout: "pipe",
        });
        await giver.stdout.getReader().read();
        const report = ["--report", box.path("report")];
        const { stdout, stderr } = box.hako("exec", ...report, ...flags, id, "python3", "-c", TAKER);
        expect(`${stdout}${stderr}`).toMatch(said);
        expect(JSON.parse(readFileSync(box.path("report"), "utf8")).landlock).toEqual(abi);
        await giver.exited;
      }
      writeFileSync(box.path("in"), "in");
      const line = `exec "$0" --root ${box.root} exec --preserve-fds 1 ${id} sh -c '
        cat /dev/stdin /proc/self/fd/3/secret; echo more >> /dev/stdout; mount -t tmpfs x /mnt 2>/dev/null || echo "no mount"
      ' < ${box.path("in")} >> ${box.path("out")} 3< ${box.path("outside")}`;
      expect(execute("sh", ["-c", line, HAKO])).toMatchObject({ status: 0, stderr: "" });
      expect(readFileSync(box.path("out"), "utf8")).toBe("inkeymore\nno mount\n");
    },
    needs,
  );

  e2e("so has what exec runs of an ordinary user's container, on a terminal, too", () => {
    using home = new Home(USER);
    const words = [HAKO, "--root", join(home.path, "project/state")];
    expect(home.run(...words, "run", "-d", "--rootfs", "/", "job", "--", "sleep", "600").status).toBe(0);
    const line = "readlink /proc/2/exe || echo not traced; kill -0 2 && echo signalled; echo x > /dev/tty";
    const { stdout } = home.run(...words, "exec", "--report", "report", "job", "sh", "-c", line);
    expect(stdout).toBe("not traced\nsignalled\n");
    const { landlock } = JSON.parse(readFileSync(join(home.path, "report"), "utf8"));
    expect(landlock).toBe(JSON.parse(home.run(...words, "state", "job").stdout).landlock);
    expect(landlock).toBeGreaterThan(1);
    const onTerminal = [...words, "exec", "--tty", "job", "sh", "-c", `'${line}'`].join(" ");
    const terminal = home.run("script", "--quiet", "--command", onTerminal, "/dev/null");
    expect(terminal.stdout).toContain("not traced\r\nsignalled\r\nx\r\n");
    expect(home.run(...words, "delete", "--force", "job").status).toBe(0);
  }, [...needs, needsProgram("script")]);

  e2e(
    "exec's processes and the first ones signal each other and connect, and don't trace",
    () => {
      using box = new Box();
      const id = box.id();
      const server = `import signal, socket
s = socket.socket(socket.AF_UNIX); s.bind(chr(0) + "there"); s.listen()
c, _ = s.accept(); signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); c.send(b"up")
info = signal.sigwaitinfo([signal.SIGUSR1]); import os; os.kill(info.si_pid, signal.SIGUSR2); signal.pause()`;
      const client = `import signal, socket
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
s = socket.socket(socket.AF_UNIX)
while s.connect_ex(chr(0) + "there"): pass
s.recv(2); import os; os.kill(2, signal.SIGUSR1); signal.sigwaitinfo([signal.SIGUSR2]); print("both ways")
try: os.readlink("/proc/2/exe")
except PermissionError: print("not traced")`;
      box.ok("run", "--detach", "--rootfs", "/", id, "--", "python3", "-c", server);
      expect(box.ok("exec", id, "python3", "-c", client).stdout).toBe("both ways\nnot traced\n");
    },
    needs,
  );

  e2e(
    "the report has its ABI; who makes mounts or sandboxes has none",
    () => {
      using box = new Box();
      const abi = (...flags: string[]): number | null => {
        box.ok("run", "--rootfs", "/", "--report", box.path("report"), ...flags, "--", "true");
        return JSON.parse(readFileSync(box.path("report"), "utf8")).landlock;
      };
      const checked = execute(HAKO, ["check"]).stdout;
      expect(checked).toMatch(new RegExp(`^landlock +ok +ABI ${abi()}\\b`, "m"));
      expect(abi("--weaker", "namespaces")).toBe(abi());
      expect(abi("--cap-add", "SYS_ADMIN")).toBeNull();
      expect(abi("--cap-add", "SYS_PTRACE")).toBeNull();
      expect(abi("--seccomp", "off")).toBeNull();
    },
    needs,
  );
});
