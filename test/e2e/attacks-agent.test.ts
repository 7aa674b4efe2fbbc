// What gets round `hako run --policy agent`: nothing of this. Each attack is made with hako, where it must fail, and without, where it must
// succeed, so that the attack itself is known to work.
import { afterAll, describe, expect } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { USER } from "./rootless-home";
import { e2e, execute, needsProgram, type Result, until } from "./support";
import { onTerminal } from "./terminal";
import { WHO, type Workplace } from "./workplace";

const NAMES = ["ip", "nsenter", "setpriv", "python3", "unshare", "git"];
const PROGRAMS = NAMES.map(needsProgram);
/** Of programs that everybody may execute. */
const PATH = "/usr/sbin:/usr/bin:/sbin:/bin";
const NETWORK = `hako-e2e-${process.pid}-outside`;
const RUN = `/run/${NETWORK}`;
/** Of the host's that nobody inside should reach: its loopback, its link-local metadata service, a private network. */
const ADDRESSES = ["127.0.0.1", "::1", "169.254.169.254", "10.77.0.1"];

/** Answers "secret" to everybody, at TCP and UDP port 80 of its addresses, and at unix sockets. */
const SERVICE = `
import socket, selectors, sys
all = selectors.DefaultSelector()
def listen(family, kind, at):
    s = socket.socket(family, kind)
    s.bind(at)
    if kind == socket.SOCK_STREAM: s.listen(64)
    all.register(s, selectors.EVENT_READ, kind)
for at in sys.argv[2:]:
    if at.startswith('/') or at.startswith('@'):
        listen(socket.AF_UNIX, socket.SOCK_STREAM, at.replace('@', '\\0'))
    else:
        family = socket.AF_INET6 if ':' in at else socket.AF_INET
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM): listen(family, kind, (at, 80))
open(sys.argv[1], 'w').close()
while True:
    for key, _ in all.select():
        if key.data == socket.SOCK_STREAM:
            connection = key.fileobj.accept()[0]
            connection.sendall(b'secret')
            connection.close()
        else:
            who = key.fileobj.recvfrom(99)[1]
            key.fileobj.sendto(b'secret', who)
`;

/** A network with services in it, and a process with a secret: what is outside of the sandbox. */
class Outside implements Disposable {
  readonly #processes: ChildProcess[] = [];
  readonly sleeper: number;

  constructor(place: Workplace) {
    const line = [
      `ip netns add ${NETWORK}`,
      `ip -n ${NETWORK} link set lo up`,
      ...ADDRESSES.slice(2).map((address) => `ip -n ${NETWORK} address add ${address}/32 dev lo`),
    ].join(" && ");
    const made = execute("sh", ["-c", line]);
    if (made.status !== 0) throw new Error(made.stderr);
    mkdirSync(RUN);
    const docker = join(place.home, ".docker/run");
    mkdirSync(docker, { recursive: true });
    this.#spawn(["python3", "-c", SERVICE, ...this.#service(docker)]);
    writeFileSync(`/dev/shm/${NETWORK}`, "secret\n");
    this.sleeper = this.#spawn(["env", "SECRET=secret", ...place.as, "sleep", "600"]);
  }

  /** What the service is told: where it says that it is ready, and where it listens. */
  #service(docker: string): string[] {
    return [`${RUN}/ready`, ...ADDRESSES, `@${NETWORK}`, `${RUN}/docker.sock`, `${docker}/docker.sock`];
  }

  #spawn(words: string[]): number {
    const child = spawn("nsenter", [`--net=/run/netns/${NETWORK}`, ...words], { stdio: "ignore" });
    this.#processes.push(child);
    return child.pid ?? 0;
  }

  async ready(place: Workplace): Promise<void> {
    await until("the services", () => existsSync(`${RUN}/ready`));
    await until("the process with a secret", () =>
      readFileSync(`/proc/${this.sleeper}/comm`, "utf8").startsWith("sleep"),
    );
    for (const path of [`${RUN}/docker.sock`, join(place.home, ".docker/run/docker.sock")])
      chmodSync(path, 0o777);
    if (place.as.length > 0) execute("chown", ["-R", `${USER}:${USER}`, join(place.home, ".docker")]);
  }

  [Symbol.dispose](): void {
    for (const child of this.#processes) child.kill("SIGKILL");
    execute("ip", ["netns", "delete", NETWORK]);
    rmSync(RUN, { recursive: true, force: true });
    rmSync(`/dev/shm/${NETWORK}`, { force: true });
  }
}

afterAll(() => {
  expect(existsSync(RUN)).toBe(false);
});

interface Attack {
  name: string;
  words: string[];
  /** Whether it has reached what it wanted: by default its output is a secret. */
  got: (result: Result) => boolean;
}

function sh(
  name: string,
  line: string,
  got: Attack["got"] = ({ stdout }) => stdout.includes("secret"),
): Attack {
  return { name, words: ["sh", "-c", line], got };
}

function python(name: string, code: string): Attack {
  const head = "import ctypes, os, socket, sys, fcntl, struct\nlibc = ctypes.CDLL(None, use_errno=True)\n";
  return { ...sh(name, ""), words: ["python3", "-c", head + code] };
}

/** The attacks that succeed although hako is there, and those that fail although it isn't. */
function outcome(place: Workplace, attacks: readonly Attack[], extraFds: number[] = []) {
  const all = join(place.home, "../as-it-was");
  execute("cp", ["-a", `${place.home}/.`, all]);
  const restore = () => {
    // services have their sockets there
    const line = `find . -mindepth 1 -maxdepth 1 ! -name .docker -exec rm -rf {} +; cp -a ${all}/[!.]* ${all}/.ssh .`;
    execute("sh", ["-c", line], { cwd: place.home });
  };
  const network = ["nsenter", `--net=/run/netns/${NETWORK}`];
  const reached = (before: string[], { words, got }: Attack) => {
    const [command = "", ...rest] = [...network, ...before, ...words];
    const yes = got(execute(command, rest, { env: { ...place.env, PATH }, cwd: place.project, extraFds }));
    restore();
    return yes;
  };
  const sandbox = [...place.words, "run", "--policy", "agent", "--quiet", "--"];
  return {
    reachedWithHako: attacks.filter((each) => reached(sandbox, each)).map(({ name }) => name),
    failedWithout: attacks.filter((each) => !reached(place.as, each)).map(({ name }) => name),
  };
}

const NONE = { reachedWithHako: [], failedWithout: [] };

for (const [who, workplace, needs] of WHO) {
  const isRoot = who === "root";
  const asRoot = (...attacks: Attack[]) => (isRoot ? attacks : []);

  /** A test with attacks of somebody in a project. */
  const attacked = (name: string, attacks: (place: Workplace, outside: Outside) => Attack[], fds = false) =>
    e2e(name, async () => {
      using place = workplace();
      using outside = new Outside(place);
      await outside.ready(place);
      const fd = fds ? openSync(place.home, "r") : undefined;
      try {
        expect(outcome(place, attacks(place, outside), fd === undefined ? [] : [fd])).toEqual(NONE);
      } finally {
        if (fd !== undefined) closeSync(fd);
      }
    }, [...needs, ...PROGRAMS]);

  describe(`an agent of ${who}`, () => {
    attacked("reads no secret, by whatever way", ({ home, ssh }, { sleeper }) => [
      sh("by name", `cat ${ssh}/id`),
      sh("by ..", "cat ../.ssh/id"),
      sh("by the working directory", "cat /proc/self/cwd/../.ssh/id"),
      sh("by a link of its own", `ln -s ${ssh} link; cat link/id`),
      sh("by a hard link", `ln ${ssh}/id copy; cat copy`),
      sh("by a process's root", `cat /proc/[0-9]*/root${ssh}/id`),
      sh("by a process outside", `cat /proc/${sleeper}/root${ssh}/id`),
      sh("by moving it", `mv ${ssh} moved; cat moved/id`),
      sh("by a copy of all", "mkdir all; cp -r ../.[a-z]* all; cat all/.ssh/id"),
      sh("by an archive", "tar -C .. -cf - .ssh"),
      sh("by a bind of the parent", `unshare -Urm sh -c 'mount --rbind .. /mnt; cat /mnt/.ssh/id'`),
      sh("by unmounting what covers it", `unshare -Urm sh -c 'umount -l ${ssh}; cat ${ssh}/id'`),
      sh("of the project: .env", "cat .env"),
      sh("of the project: .env by a hard link", "ln .env copy; cat copy"),
      sh("of the project: .env by moving it", "mv .env copy; cat copy"),
      sh("in the host's shared memory", `cat /dev/shm/${NETWORK}`),
      sh("in another process's environment", `cat /proc/${sleeper}/environ`),
      ...asRoot(
        sh(
          "by moving what it is in",
          `mv ${home} ${home}-moved; cat ${home}-moved/.ssh/id; mv ${home}-moved ${home}`,
        ),
        sh("of the host's users", "wc -c < /etc/shadow", ({ stdout }) => Number(stdout) > 0),
        sh("by a bind of the parent, as root", `mkdir m; mount --rbind .. m; cat m/.ssh/id; umount -l m`),
      ),
    ]);

    attacked(
      "reads no secret by what the caller has open",
      () => [
        sh("by a descriptor", "cat /proc/self/fd/3/.ssh/id"),
        python("by openat", "print(os.read(os.open('.ssh/id', os.O_RDONLY, dir_fd=3), 99))"),
      ],
      true,
    );

    attacked("writes nothing but its project", ({ home, project, env }, { sleeper }) => {
      const made = (name: string, line: string, path = join(home, "outside")) =>
        sh(name, line, () => existsSync(path));
      return [
        made("beside it", "echo x > ../outside"),
        made("in the home directory", `echo x >> ${env.HOME}/.bashrc`, join(home, ".bashrc")),
        made("by a link", `ln -s ${home}/outside link; echo x > link`),
        made("by a process's root", `for p in /proc/[0-9]*; do echo x > $p/root${home}/outside; done`),
        made("by a process outside", `echo x > /proc/${sleeper}/root${home}/outside`),
        made("by a bind of the parent", `unshare -Urm sh -c 'mount --rbind .. /mnt; echo x > /mnt/outside'`),
        made(
          "by moving the project",
          `mv ${project} ${home}/outside; mv ${home}/outside ${project}; touch ../outside`,
        ),
        sh("by removing what is beside it", `rm -rf ${home}/.ssh`, () => !existsSync(join(home, ".ssh"))),
        ...asRoot(
          sh(
            "the kernel's parameters",
            'f=/proc/sys/kernel/core_pattern; c=$(cat $f); echo "$c" > $f && echo secret',
          ),
          made("by a mount, as root", "mkdir m; mount --rbind .. m; echo x > m/outside; umount -l m"),
        ),
      ];
    });

    attacked("changes nothing that git and editors execute later", ({ project }) => {
      const planted = (name: string, line: string) =>
        sh(name, line, () => execute("grep", ["-Rqs", "evil", ".git"], { cwd: project }).status === 0);
      const hook = "echo evil > .git/hooks/pre-commit";
      const exchange = `libc.renameat2(-100, b".git", -100, b"other", 2)`;
      return [
        planted("a hook", hook),
        planted("another hook", "echo evil > .git/hooks/post-checkout"),
        planted("the directory moved and made anew", `mv .git old; mkdir -p .git/hooks; ${hook}`),
        planted("the directory of hooks moved", `mv .git/hooks old; mkdir -p .git/hooks; ${hook}`),
        planted("removed and made anew", `rm -rf .git; mkdir -p .git/hooks; ${hook}`),
        planted("a link in its place", `rm -rf .git/hooks; mkdir evil; ln -s ../evil .git/hooks; ${hook}`),
        planted("a link to the hook", "ln .git/hooks/pre-commit link; echo evil > link"),
        planted(
          "exchanged",
          `mkdir -p other/hooks; echo evil > other/hooks/x; python3 -c '
import ctypes; libc = ctypes.CDLL(None); ${exchange}'`,
        ),
        planted("the settings", "echo '[core] fsmonitor = evil' >> .git/config"),
        planted("the settings exchanged", "echo '[core] fsmonitor = evil' > new; mv new .git/config"),
        planted("the settings by git", "git init -q .; git config core.hooksPath evil"),
        planted("what covers them unmounted", `unshare -Urm sh -c 'umount -l .git/hooks; ${hook}'`),
        ...asRoot(planted("unmounted, as root", `umount -l .git/hooks; ${hook}`)),
      ];
    });

    attacked("reaches nobody", ({ home }) => {
      const inet = (address: string) => (address.includes(":") ? "socket.AF_INET6" : "socket.AF_INET");
      const connect = (address: string) =>
        python(
          `TCP to ${address}`,
          `s = socket.socket(${inet(address)}); s.settimeout(3); s.connect(("${address}", 80)); print(s.recv(9))`,
        );
      const ask = (address: string) =>
        python(
          `UDP to ${address}, as a name server`,
          `s = socket.socket(${inet(address)}, socket.SOCK_DGRAM); s.settimeout(3)
s.sendto(b"secret.example.com", ("${address}", 80)); print(s.recv(9))`,
        );
      const unix = (name: string, path: string) =>
        python(name, `s = socket.socket(socket.AF_UNIX); s.connect("${path}"); print(s.recv(9))`);
      return [
        ...ADDRESSES.flatMap((address) => [connect(address), ask(address)]),
        unix("an abstract socket", `\\0${NETWORK}`),
        unix("docker.sock in /run", `${RUN}/docker.sock`),
        unix("docker.sock of a user", join(home, ".docker/run/docker.sock")),
        ...asRoot(
          python("a raw socket", "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); print('secret')"),
          python("a packet socket", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3); print('secret')"),
        ),
      ];
    });

    attacked("acts on no process outside, and has no keys", (_, { sleeper }) => {
      const addKey = { x64: 248, arm64: 217 }[process.arch as string];
      const keys = `key = libc.syscall(${addKey}, b"user", b"hako", b"x", 1, -2)\nif key > 0: print("secret")`;
      const yama = "/proc/sys/kernel/yama/ptrace_scope";
      const mayTrace = isRoot || !existsSync(yama) || readFileSync(yama, "utf8").trim() === "0";
      const trace = `if libc.ptrace(16, ${sleeper}, 0, 0) == 0: print("secret"); os.waitpid(${sleeper}, 0x40000000); libc.ptrace(17, ${sleeper}, 0, 0)`;
      return [
        sh("a signal", `kill -0 ${sleeper} && echo secret`),
        ...(mayTrace ? [python("ptrace", trace)] : []),
        ...(addKey === undefined ? [] : [python("a key of the kernel's", keys)]),
      ];
    });

    e2e("types nothing into the caller's terminal", () => {
      using place = workplace();
      const legacy = "/proc/sys/dev/tty/legacy_tiocsti";
      const code = "import fcntl\nfor c in b'secret': fcntl.ioctl(0, 0x5412, bytes([c]))\nprint('typed')";
      const run = (before: string[]) => {
        const words = [
          "env",
          "-C",
          place.project,
          ...pairs({ ...place.env, PATH }),
          ...before,
          "python3",
          "-c",
          code,
        ];
        return onTerminal([], words).shown.includes("typed");
      };
      expect(run([...place.words, "run", "--policy", "agent", "--quiet", "--"])).toBe(false);
      const isRefused = !isRoot && existsSync(legacy) && readFileSync(legacy, "utf8").trim() === "0";
      expect(run(place.as)).toBe(!isRefused);
    }, [...needs, ...PROGRAMS]);

    e2e("a hook of a repository that it makes: told and reported, and with --changes not there, and listed first", () => {
      const hook =
        "printf '#!/bin/sh\\necho secret\\n' > .git/hooks/pre-commit; chmod 755 .git/hooks/pre-commit";
      const line = `git init -q . && ${hook}; touch a`;
      /** What is said of the attack, and by git on the host after it. */
      const after = (attack: (place: Workplace) => string[]) => {
        using place = workplace();
        const { project, env } = place;
        rmSync(join(project, ".git"), { recursive: true });
        const run = (...[command = "", ...rest]: string[]) =>
          execute(command, rest, { env: { ...env, PATH }, cwd: project });
        const { stderr } = run(...attack(place), "sh", "-c", line);
        const commit = [
          "-c",
          "user.name=x",
          "-c",
          "user.email=x@y",
          "commit",
          "-q",
          "--allow-empty",
          "-m",
          "x",
        ];
        const shown = run(...place.words, "changes", join(place.home, "kept")).stdout.split("\n");
        const report = join(place.home, "report");
        const hookRow = shown.findIndex((row) => /hooks\/pre-commit .*git executes it/.test(row));
        const otherRow = shown.findIndex((row) => / .*project\/a /.test(row));
        return {
          isExecuted: /secret/.test(Object.values(run(...place.as, "git", ...commit)).join("")),
          isTold: stderr.includes(`${project}/.git was made meanwhile`),
          isReported:
            existsSync(report) && JSON.parse(readFileSync(report, "utf8")).unheld.includes(`${project}/.git`),
          isListedFirst: hookRow >= 0 && hookRow < otherRow,
        };
      };
      const agent = (place: Workplace, ...flags: string[]) => [
        ...place.words,
        "run",
        "--policy",
        "agent",
        ...flags,
        "--",
      ];
      expect(after(({ as }) => (as.length === 0 ? ["env"] : as))).toMatchObject({
        isExecuted: true,
        isTold: false,
      });
      expect(after((place) => agent(place, "--report", join(place.home, "report")))).toMatchObject({
        isTold: true,
        isReported: true,
      });
      expect(after((place) => agent(place, "--changes", join(place.home, "kept")))).toMatchObject({
        isExecuted: false,
        isListedFirst: true,
      });
    }, [...needs, ...PROGRAMS]);

    e2e("a repository that git goes into has none of its commands, or is told of", () => {
      const evil = "printf '#!/bin/sh\\ntouch ../executed\\n' > evil; chmod 755 evil";
      const commit = "git -c user.name=x -c user.email=x@y commit -q --allow-empty -m x";
      const link = (name: string) =>
        `git update-index --add --cacheinfo 160000,$(git -C ${name} rev-parse HEAD),${name}`;
      const set = (name: string) => `git -C ${name} config core.fsmonitor ../evil`;
      const begun = `rm -rf .git; git init -q .; git init -q mod; git -C mod config x.y z; (cd mod; ${commit}); ${link("mod")}
        printf '[submodule "mod"]\\n\\tpath = mod\\n\\turl = ../mod\\n' > .gitmodules; git add .gitmodules`;
      const attacks: Record<string, string> = {
        "settings of a submodule": `${evil}; ${set("mod")}`,
        "a submodule made anew": `${evil}; rm -rf mod; git init -q mod; (cd mod; ${commit}); ${set("mod")}`,
        "a link to one of its own": `${evil}; git init -q own; (cd own; ${commit}); ${link("own")}; ${set("own")}`,
      };
      const after = (attack: string, before: (place: Workplace) => string[]) => {
        using place = workplace();
        const run = (...[command = "", ...rest]: string[]) =>
          execute(command, rest, { env: { ...place.env, PATH }, cwd: place.project });
        const { stderr } = run(...place.as, "sh", "-ec", begun);
        expect(stderr).toBe("");
        const told = run(...before(place), "sh", "-c", attack).stderr.includes("git status goes into");
        run(...place.as, "git", "status");
        return `${existsSync(join(place.project, "executed")) ? "executed" : "not executed"}${told ? ", told" : ""}`;
      };
      const all = (before: (place: Workplace) => string[]) =>
        Object.values(attacks).map((attack) => after(attack, before));
      expect(all(({ as }) => ["env", ...as])).toEqual(["executed", "executed", "executed"]);
      expect(all(({ words }) => [...words, "run", "--policy", "agent", "--"])).toEqual([
        "not executed",
        "not executed",
        "executed, told",
      ]);
    }, [...needs, ...PROGRAMS]);

    e2e("links of the index that lead nowhere keep nothing from being told", () => {
      using place = workplace();
      const { project, words, env } = place;
      const [setpriv = "", ...ids] = [
        ...place.as,
        "sh",
        "-ec",
        "rm -rf .git; git init -q .; touch x; git add x",
      ];
      execute(setpriv, ids, { env: { ...env, PATH }, cwd: project });
      const line = `
        printf '#!/bin/sh\n' > .envrc; ln -s loop loop; mkdir closed; chmod 0 closed
        link() { git update-index --add --cacheinfo "160000,1111111111111111111111111111111111111111,$1"; }
        link loop/x; link closed/x; link "$(printf %300s | tr ' ' x)"; exit 7`;
      const report = join(place.home, "report");
      const run = ["run", "--policy", "agent", "--report", report, "--", "sh", "-ec", line];
      const [command = "", ...rest] = [...words, ...run];
      const done = execute(command, rest, { env, cwd: project });
      expect(done.stderr).toContain(`${project}/.envrc was made meanwhile`);
      expect(done.status).toBe(7);
      expect(JSON.parse(readFileSync(report, "utf8"))).toMatchObject({ exitCode: 7, hakoError: null });
    }, [...needs, ...PROGRAMS]);

    e2e("a repository that it makes is told of, and what else would be executed later and wasn't there", () => {
      using place = workplace();
      const { project } = place;
      rmSync(join(project, ".git"), { recursive: true });
      const told = (line: string) => {
        const [command = "", ...rest] = [...place.words, "run", "--policy", "agent", "--", "sh", "-c", line];
        return execute(command, rest, { env: place.env, cwd: project }).stderr;
      };
      expect(told("git init . && echo evil > .git/hooks/pre-commit")).toContain(
        `${project}/.git was made meanwhile`,
      );
      // of one that is there, what git would go by
      expect(told("echo ../evil > .git/commondir")).toContain(`${project}/.git/commondir was made meanwhile`);
      unlinkSync(join(project, ".git/commondir"));
      expect(told("ln -s /none .vscode")).toContain(`${project}/.vscode was made meanwhile`);
      expect(told("echo evil > .git/hooks/other; touch file")).not.toContain("made meanwhile");
      expect(existsSync(join(project, ".git/hooks/other"))).toBe(false);
    }, [...needs, ...PROGRAMS]);
  });
}

function pairs(env: Record<string, string>): string[] {
  return Object.entries(env).map(([name, value]) => `${name}=${value}`);
}
