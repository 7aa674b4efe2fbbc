// Machines: what is found and made for them, and whether one boots here.
import { expect } from "bun:test";
import { spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
} from "node:fs";
import { join } from "node:path";
import { environment, needsMachine, PATH, setUp, shared, withSettings } from "./machines";
import {
  Box,
  e2e,
  execute,
  executeLater,
  HAKO,
  names,
  needsHako,
  needsProgram,
  type Result,
  TIME_LIMIT,
  until,
} from "./support";

/** Somebody who is nobody here. */
const USER = 4242;

const needsUnshare = needsProgram("unshare");

/** Runs hako with these settings, and a cache of its own. */
function settled(text: string, ...words: string[]): Result {
  using box = new Box();
  return withSettings(text, box.dir, words, environment(box.path("cache")));
}

interface ProbeResult {
  accelerator: string | null;
  trials: { accelerator: string; works: boolean; seconds?: number; reason?: string }[];
  kernel: string;
  known: boolean;
}

e2e(
  "a user's machine boots, by KVM or emulated; probe, check and show tell which",
  () => {
    using box = new Box();
    chmodSync(box.dir, 0o755);
    // our own may lie where the user may not go
    const hako = box.path("hako");
    copyFileSync(HAKO, hako);
    for (const dir of ["cache", "data"]) {
      mkdirSync(box.path(dir));
      chownSync(box.path(dir), USER, USER);
    }
    execute("cp", ["-r", `${shared.path("data")}/.`, box.path("data")]);
    execute("chown", ["-R", `${USER}:${USER}`, box.path("data")]);
    const env = { PATH, XDG_CACHE_HOME: box.path("cache"), XDG_DATA_HOME: box.path("data") };
    const asUser = (...words: string[]) =>
      execute("setpriv", [`--reuid=${USER}`, `--regid=${USER}`, "--clear-groups", hako, ...words], {
        env,
        timeout: 2 * TIME_LIMIT,
      });
    const machines = () => {
      const rows = JSON.parse(asUser("check", "--json").stdout) as {
        name: string;
        verdict: string;
        found: string;
      }[];
      return rows.find(({ name }) => name === "machines");
    };
    expect(machines()?.verdict).toBe("not tried");
    const first = asUser("machine", "probe", "--json");
    expect(first.stderr).toBe("");
    const probe = JSON.parse(first.stdout) as ProbeResult;
    const worked = probe.trials.find(({ works }) => works);
    expect(first.status).toBe(0);
    expect(probe.known).toBeFalse();
    expect(worked?.accelerator).toBe(probe.accelerator ?? "none");
    expect(worked?.seconds).toBeGreaterThan(0);
    // a /dev/kvm alone says nothing
    const emulated = probe.accelerator === "tcg";
    if (emulated)
      expect(probe.trials[0]).toMatchObject({ accelerator: "kvm", works: false, reason: expect.any(String) });
    expect(machines()).toMatchObject({
      verdict: "ok",
      found: expect.stringContaining(emulated ? "emulated: slow, and no security boundary" : "by KVM"),
    });
    // the second one boots nothing
    const second = JSON.parse(asUser("machine", "probe", "--json").stdout) as ProbeResult;
    expect(second).toEqual({ ...probe, known: true });
    const table = asUser("machine", "probe").stdout;
    expect(table).toMatch(emulated ? /^kvm +no .*\n.*^tcg +yes +\d+\.\d\d s$/ms : /^kvm +yes/m);
    expect(table).toContain(emulated ? "emulated, which is slow and no security boundary" : "by KVM");
    const show = asUser("machine", "show").stdout;
    expect(show).toMatch(/^QEMU +host +\d+\.\d+\.\d+: \//m);
    expect(show).toContain(`${probe.kernel}: ${box.path("data")}`);
    expect(show).toMatch(/^guest +\d{4}-.* MiB: /m);
  },
  [needsMachine, needsProgram("setpriv")],
  4 * TIME_LIMIT,
);

e2e("a guest is made once: by one of several commands, and not again", async () => {
  using box = new Box();
  const cache = box.path("cache");
  const directory = join(cache, "hako/machines");
  const at = () => executeLater(HAKO, ["machine", "setup"], undefined, environment(cache));
  const all = await Promise.all([at(), at(), at()]);
  expect(all.map(({ stderr }) => stderr)).toEqual(["", "", ""]);
  const made = all.map(({ stdout }) => /^guest \S+: .* MiB, (made|there)$/m.exec(stdout)?.[1]);
  expect(made.sort()).toEqual(["made", "there", "there"]);
  expect(setUp(cache).stdout).toContain(", there\n");
  expect(setUp(cache, "--force").stdout).toContain(", made\n");
  // a kernel that is here is not fetched again
  expect(setUp(cache, "--download").stdout).toContain(", there\n");
  expect(setUp(cache, "--download", "--force").stdout).toContain(", made\n");
  expect(names(join(shared.path("data"), "hako/kernels"))).toEqual([
    ".lock",
    expect.stringMatching(/^linux-image-/),
  ]);
  const [key = "", lock] = names(directory);
  expect([key, lock]).toEqual([key, `${key}.lock`]);
  expect(names(join(directory, key))).toEqual(["image", "initramfs", "kernel"]);
}, [needsMachine]);

e2e("a set-up that is killed leaves nothing half", async () => {
  using box = new Box();
  const cache = box.path("cache");
  const directory = join(cache, "hako/machines");
  const killed = spawn(HAKO, ["machine", "setup"], { env: environment(cache), stdio: "ignore" });
  await until("an image is being written", () =>
    names(directory).some((name) => existsSync(join(directory, name, "image"))),
  );
  killed.kill("SIGKILL");
  await new Promise((done) => killed.on("exit", done));
  const whole = (name: string) => /^[0-9a-f]{40}$/.test(name);
  // it may have been done already
  const left = names(directory).filter((name) => !name.endsWith(".lock"));
  expect(left).toHaveLength(1);
  const { status, stdout } = setUp(cache);
  expect(status).toBe(0);
  expect(stdout).toContain(left.some(whole) ? ", there\n" : ", made\n");
  expect(
    names(directory)
      .filter((name) => !name.endsWith(".lock"))
      .every(whole),
  ).toBeTrue();
}, [needsMachine]);

e2e(
  "a guest that panics is told with its own words, by check too",
  () => {
    using box = new Box();
    const cache = box.path("cache");
    setUp(cache);
    const directory = join(cache, "hako/machines");
    const [key = ""] = names(directory);
    const image = join(directory, key, "image");
    truncateSync(image, 0);
    truncateSync(image, 1 << 20);
    const probe = () => execute(HAKO, ["machine", "probe", "--json"], { env: environment(cache) });
    const { status, stdout } = probe();
    const { accelerator, trials } = JSON.parse(stdout) as ProbeResult;
    expect([status, accelerator]).toEqual([1, null]);
    expect(trials.at(-1)?.reason).toContain("on its console: hako: mount /image failed");
    const { stdout: check } = execute(HAKO, ["check"], { env: environment(cache) });
    expect(check).toMatch(/^machines +absent +none can be had: .*mount \/image failed/m);
  },
  [needsMachine],
  4 * TIME_LIMIT,
);

e2e("QEMU is confined, and ends with the command that has started it", async () => {
  using box = new Box();
  const env = environment(box.path("cache"));
  setUp(box.path("cache"));
  const probe = spawn(HAKO, ["machine", "probe"], { env, stdio: "ignore" });
  /** What procfs says of each QEMU of this test's. */
  const qemus = () =>
    readdirSync("/proc").flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        const status = readFileSync(`/proc/${pid}/status`, "utf8");
        return status.startsWith("Name:\tqemu") && command.includes(box.dir) ? [status] : [];
      } catch {
        return [];
      }
    });
  // there may be two, one after the other
  let seen = "";
  await until("QEMU has its filter", () => {
    seen = qemus().find((status) => status.includes("Seccomp:\t2")) ?? "";
    return seen !== "";
  });
  expect(seen).toContain("NoNewPrivs:\t1");
  // no socket of QEMU's has a name
  expect(readFileSync("/proc/net/unix", "utf8")).not.toContain(box.dir);
  probe.kill("SIGKILL");
  await new Promise((done) => probe.on("exit", done));
  await until("QEMU has ended", () => qemus().length === 0);
}, [needsMachine]);

e2e("what is missing is named, with the line that installs it", () => {
  using box = new Box();
  const bare = { XDG_CACHE_HOME: box.path("cache"), XDG_DATA_HOME: box.path("data") };
  const without = execute(HAKO, ["machine", "setup"], { env: { ...bare, PATH: box.dir } });
  if (!existsSync("/usr/bin/qemu-kvm") && !existsSync("/usr/libexec/qemu-kvm")) {
    expect(without.status).toBe(1);
    expect(without.stderr).toMatch(/^hako: no QEMU for x86-64 \(.*qemu.*\)\n$/);
    const show = execute(HAKO, ["machine", "show"], { env: { ...bare, PATH: box.dir } });
    expect(show.status).toBe(0);
    expect(show.stdout).toMatch(/^QEMU +not there +no QEMU for x86-64 /m);
  }
  const check = execute(HAKO, ["check"], { env: { ...bare, PATH: box.dir } });
  expect(check.stdout).toMatch(/^machines +(absent|not tried) /m);
  expect(names(box.dir)).toEqual([]);
}, [needsHako, process.arch === "x64" ? undefined : "machines are for x86-64"]);

e2e("the settings' file decides what machines are made of; what is wrong in it has its pointer", () => {
  const env = (text: string) => JSON.parse(settled(text, "env", "--json").stdout).machine as unknown;
  expect(env('[machine]\naccelerator = "tcg"\nmemory = "1G"\n')).toEqual({
    settings: "/etc/hako/config.toml",
    qemu: "",
    virtiofsd: "",
    kernel: "",
    modules: "",
    accelerator: "tcg",
    memory: "1G",
    cpus: 1,
    template: "auto",
  });
  expect(env("[machine\n")).toEqual({
    settings: expect.stringMatching(/^\/etc\/hako\/config\.toml: not TOML: line 1, column 9: /),
  });
  const show = settled('[machine]\nvirtiofsd = "/gone"\n', "machine", "show").stdout;
  expect(show).toMatch(
    /^virtiofsd +not there +.*config\.toml: \/machine\/virtiofsd: \w+ \/gone: no such file/m,
  );
  for (const [field, text] of [
    ["kernel", 'qemu = "/bin/true"\nkernel = "/gone"'],
    ["qemu", 'qemu = "/gone"'],
  ] as const) {
    const { status, stderr } = settled(`[machine]\n${text}\n`, "machine", "probe");
    expect(status).toBe(1);
    expect(stderr).toMatch(
      new RegExp(`^hako: /etc/hako/config.toml: /machine/${field}: \\w+ /gone: no such file or directory`),
    );
  }
  const typo = settled("[machine]\nkernal = 1\n", "machine", "show");
  expect(typo.stderr).toBe("hako: /etc/hako/config.toml: /machine/kernal: unknown\n");
}, [needsHako, needsUnshare, process.arch === "x64" ? undefined : "machines are for x86-64"]);

e2e("nothing on the host is an agent", () => {
  const { status, stderr } = execute(HAKO, ["agent"]);
  expect(status).toBe(1);
  expect(stderr).toBe(
    "hako: the agent is the first process of a machine that hako has started, and nothing else\n",
  );
  // the first process of a pid namespace is none either
  const inside = execute("unshare", ["--pid", "--fork", HAKO, "agent"]);
  expect(inside.status).toBe(1);
}, [needsHako, needsUnshare]);
