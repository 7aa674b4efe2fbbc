// Files of the host's in machines: what is written to a rootfs and to volumes.
import { afterAll, expect } from "bun:test";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { environment, hasEnded, leftIn, needsMachine, needsVirtiofsd, setUp, shared } from "./machines";
import { Home, MAPS, NEEDS_MAPS, SUBORDINATE, USER } from "./rootless-home";
import {
  Box,
  busyboxRootfs,
  e2e,
  execute,
  executeLater,
  HAKO,
  needsBusybox,
  needsProgram,
  type Result,
  TIME_LIMIT,
  until,
} from "./support";

const needs = [needsMachine, needsBusybox, needsVirtiofsd];
const cache = shared.path("cache");
const env = environment(cache);
const box = new Box();
afterAll(() => box[Symbol.dispose]());

/** Machines boot in seconds, and programs take ten times as long in them. */
const LONG = 10 * TIME_LIMIT;
const FIXTURES = join(import.meta.dir, "fixtures");

function hako(...words: string[]): Result {
  return execute(HAKO, ["--root", box.root, ...words], { env, timeout: 5 * TIME_LIMIT });
}

function newDirectory(name: string): string {
  const path = box.path(name);
  mkdirSync(path);
  return path;
}

function machineOf(id: string) {
  const path = join(box.root, "@machines", id, "machine.json");
  return JSON.parse(readFileSync(path, "utf8")) as Record<"qemu" | "virtiofsd", { pid: number }>;
}

function leavesNothing(): void {
  expect(leftIn(box.root)).toEqual([]);
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(box.dir);
  // QEMU's and virtiofsd's outputs are files of the machine's
  const served = readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/fd/1`).startsWith(box.root);
    } catch {
      return false;
    }
  });
  expect(served).toEqual([]);
}

/** Failures that a file allows, as "WHERE: NAME". */
function allowedFailures(): string[] {
  const lines = readFileSync(join(FIXTURES, "file-checks.allowed"), "utf8").split("\n");
  return lines.filter((line) => line !== "" && !line.startsWith("#"));
}

e2e(
  "what programs expect of files is there in a volume and in a rootfs whose writes end; changes are seen from both sides",
  async () => {
    setUp(cache);
    const volume = newDirectory("volume");
    cpSync(join(FIXTURES, "file-checks.py"), join(volume, "file-checks.py"));
    writeFileSync(join(volume, "seen"), "old");
    // the same on the host: a check that fails there says nothing
    const native = execute("python3", [join(FIXTURES, "file-checks.py"), newDirectory("native")]);
    expect(native.stdout.split("\n").filter((line) => line.startsWith("fail"))).toEqual([]);
    const script = `cd /mnt; cat seen; echo ready >ready
      until [ -e answer ]; do sleep 0.1; done; since=$(date +%s%N)
      until [ "$(cat seen)" = new ] && [ ! -e removed ]; do sleep 0.1; done
      echo " seen after $((($(date +%s%N) - since) / 1000000)) ms"
      mkdir -p /var/tmp/private; python3 file-checks.py /mnt /var/tmp/private`;
    writeFileSync(join(volume, "removed"), "");
    const flags = ["--driver", "vm", "--rootfs", "/", "--cap-add", "mknod", "-v", `${volume}:/mnt`];
    const words = ["--root", box.root, "run", ...flags, "--", "sh", "-c", script];
    const running = executeLater(HAKO, words, undefined, env);
    await until("the guest's file is there", () => existsSync(join(volume, "ready")), LONG);
    writeFileSync(join(volume, "seen"), "new");
    rmSync(join(volume, "removed"));
    writeFileSync(join(volume, "answer"), "");
    const { status, stdout, stderr } = await running;
    expect([status, stderr]).toEqual([0, ""]);
    const [told = "", ...lines] = stdout.trim().split("\n");
    expect(Number(/^old seen after (\d+) ms$/.exec(told)?.[1])).toBeLessThan(2500);
    const middle = lines.indexOf("in /var/tmp/private");
    const parts = { volume: lines.slice(1, middle), private: lines.slice(middle + 1) };
    const checks = native.stdout.trim().split("\n").length - 1;
    const allowed = allowedFailures();
    for (const [where, part] of Object.entries(parts)) {
      expect(part).toHaveLength(checks);
      const failed = part.filter((line) => !line.startsWith("ok "));
      const surprising = failed.filter(
        (line) => !allowed.some((each) => line.startsWith(each.replace(`${where}: `, "fail "))),
      );
      expect([where, surprising]).toEqual([where, []]);
    }
    leavesNothing();
  },
  [...needs, needsProgram("python3")],
  LONG,
);

e2e(
  "a rootfs that is written stays, with owners by the user namespace; the end of virtiofsd is the container's",
  async () => {
    setUp(cache);
    const readOnly = newDirectory("read-only");
    writeFileSync(join(readOnly, "there"), "there");
    const secret = box.path("secret");
    writeFileSync(secret, "secret ");
    const server = createServer();
    await new Promise<void>((done) => server.listen(join(readOnly, "host.sock"), done));
    // root of the user namespace has to come through
    chmodSync(box.dir, 0o755);
    const id = box.id();
    const script = `cat /etc/secret /ro/there; touch /made; chown 7:8 /made; chmod 4755 /made; ln /made /linked
      mkdir /below && mkfifo /below/pipe; touch /ro/other; touch /tmp/in-memory
      stat -c '%u %g' /bin/sh /made; echo up; exec sleep 1000`;
    const bundle = box.bundle(["sh", "-c", script], (config) => {
      config.mounts.push(
        { destination: "/etc/secret", type: "bind", source: secret, options: ["bind", "ro"] },
        { destination: "/ro", type: "bind", source: readOnly, options: ["rbind", "ro", "rslave"] },
        { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev"] },
      );
      config.linux.namespaces.push({ type: "user" });
      config.linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
      config.linux.gidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
      for (const set of Object.values(config.process.capabilities ?? {})) set.push("CAP_CHOWN", "CAP_FOWNER");
    });
    const rootfs = join(bundle, "rootfs");
    execute("chown", ["-R", "100000:100000", rootfs]);
    const out = box.path("out");
    const line = `${HAKO} --root ${box.root} create --driver vm --bundle ${bundle} ${id} >${out} 2>${out}.error`;
    const created = execute("sh", ["-c", line], { env, timeout: 5 * TIME_LIMIT });
    const said = readFileSync(`${out}.error`, "utf8");
    expect(said).toMatch(/^hako: warning: .*read-only\/host\.sock.*socket of the host.*\n$/);
    expect(created.status).toBe(0);
    expect(hako("start", id)).toMatchObject({ status: 0, stderr: "" });
    await until("it is up", () => readFileSync(out, "utf8").includes("up\n"), LONG);
    const expected = "secret there0 0\n7 8\nup\n";
    expect(readFileSync(out, "utf8")).toBe(expected);
    expect(readFileSync(`${out}.error`, "utf8").replace(said, "")).toMatch(
      /^touch: .*Read-only file system\n$/,
    );
    const made = statSync(join(rootfs, "made"));
    expect([made.uid, made.gid, made.mode & 0o7777, made.nlink]).toEqual([100007, 100008, 0o4755, 2]);
    expect(statSync(join(rootfs, "below/pipe"))).toMatchObject({ uid: 100000, gid: 100000 });
    expect(statSync(join(rootfs, "below/pipe")).isFIFO()).toBeTrue();
    expect(readdirSync(join(rootfs, "tmp"))).toEqual([]);
    expect(readdirSync(readOnly).sort()).toEqual(["host.sock", "there"]);
    // what is put there from outside is the container's
    writeFileSync(join(rootfs, "put"), "put there");
    expect(hako("exec", id, "cat", "/put").stdout).toBe("put there");
    server.close();
    const { qemu, virtiofsd } = machineOf(id);
    const confined = readFileSync(`/proc/${virtiofsd.pid}/status`, "utf8");
    expect(confined).toContain("NoNewPrivs:\t1");
    expect(confined).toContain("Seccomp:\t2");
    process.kill(virtiofsd.pid, "SIGKILL");
    const since = Date.now();
    expect(hako("wait", id).stdout).toBe("137\n");
    expect(Date.now() - since).toBeLessThan(TIME_LIMIT);
    await until("QEMU has ended with it", () => hasEnded(qemu.pid));
    expect(hako("delete", id)).toMatchObject({ status: 0, stderr: "" });
    leavesNothing();
  },
  needs,
  LONG,
);

e2e(
  "--keep-writes keeps what is written and removed; what is only read is so on the host, whatever the guest mounts",
  () => {
    setUp(cache);
    const kept = newDirectory("kept");
    const lower = newDirectory("lower");
    busyboxRootfs(lower);
    writeFileSync(join(lower, "etc/gone"), "");
    const readOnly = newDirectory("only-read");
    const flags = ["--driver", "vm", "--rootfs", lower, "--keep-writes", kept];
    flags.push("--cap-add", "sys_admin", "--seccomp", "off", "-v", `${readOnly}:/ro:ro`);
    const script = `echo new >/etc/made; rm /etc/gone; ls /etc
      mount -o remount,bind,rw /ro && touch /ro/file 2>&1 || echo refused`;
    const { status, stdout, stderr } = hako("run", ...flags, "--", "sh", "-c", script);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout.split("\n")).toContain("made");
    expect(stdout).toEndWith("touch: /ro/file: Read-only file system\nrefused\n");
    expect(readdirSync(readOnly)).toEqual([]);
    expect(existsSync(join(lower, "etc/made"))).toBeFalse();
    const again = hako(
      "run",
      "--rootfs",
      lower,
      "--keep-writes",
      kept,
      "--",
      "sh",
      "-c",
      "cat /etc/made; ls /etc",
    );
    expect(again.stdout).toStartWith("new\n");
    expect(again.stdout).not.toContain("gone");
    leavesNothing();
  },
  needs,
  LONG,
);

e2e(
  "an ordinary user's container in a machine writes its files with the owners that the user's ids give",
  async () => {
    setUp(cache);
    using home = new Home();
    // the kernel is root's, and the guest the user's own
    chmodSync(shared.dir, 0o755);
    const vm = (...words: string[]) => home.with({ XDG_DATA_HOME: shared.path("data") }, ...words);
    const id = home.box.id();
    const script = "echo made >/made; touch /other; chown 1000 /other; mkdir /below; exec sleep 1000";
    const bundle = home.bundle(["sh", "-c", script], (config) => {
      Object.assign(config.linux, MAPS);
      config.root.readonly = false;
      for (const set of Object.values(config.process.capabilities ?? {})) set.push("CAP_CHOWN");
      config.linux.namespaces.push({ type: "network" });
    });
    const rootfs = join(bundle, "rootfs");
    expect(vm("run", "--driver", "vm", "--detach", "--bundle", bundle, id)).toMatchObject({
      status: 0,
      stderr: "",
    });
    await until("it has written", () => existsSync(join(rootfs, "below")), LONG);
    expect(["made", "other"].map((name) => statSync(join(rootfs, name)).uid)).toEqual([
      USER,
      SUBORDINATE + 999,
    ]);
    expect(vm("delete", "--force", id)).toMatchObject({ status: 0, stderr: "" });
    expect(existsSync(join(home.runtime, "hako/@machines"))).toBeFalse();
  },
  [...needs, ...NEEDS_MAPS],
  LONG,
);
