// What flags of `hako run --rootfs` give to the command, and take from it.
import { expect } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { Box, e2e, execute, HAKO, needsHako, needsProgram } from "./support";

const USUAL = 11;
const RUN = ["run", "--rootfs", "/"];

e2e("--cap-add and --cap-drop: what the command may do, and all that exec runs beside it", () => {
  using box = new Box();
  const run = (...words: string[]) => box.hako(...RUN, ...words);
  const sets = (...words: string[]) => {
    const { stdout } = run(...words, "--", "grep", "-E", "^Cap(Bnd|Eff|Amb)", "/proc/self/status");
    const found = Object.fromEntries(
      stdout.split("\n").flatMap((line) => {
        const [, name = "", mask = ""] = /^Cap(\w+):\s*(\w+)$/.exec(line) ?? [];
        return name === "" ? [] : [[name, BigInt(`0x${mask}`)]];
      }),
    );
    return { bounding: found.Bnd ?? -1n, effective: found.Eff ?? -1n, ambient: found.Amb ?? -1n };
  };
  const count = (mask: bigint) => mask.toString(2).replaceAll("0", "").length;
  const usual = sets();
  expect(count(usual.bounding)).toBe(USUAL);
  const CHOWN = 1n << 0n;
  const NET_RAW = 1n << 13n;
  expect(sets("--cap-drop", "ALL")).toEqual({ bounding: 0n, effective: 0n, ambient: 0n });
  expect(sets("--cap-drop=chown")).toMatchObject({ bounding: usual.bounding & ~CHOWN });
  expect(sets("--cap-add", "NET_RAW")).toMatchObject({ effective: usual.effective | NET_RAW });
  expect(sets("--cap-drop", "ALL", "--cap-add", "CAP_NET_RAW").bounding).toBe(NET_RAW);
  // another user has it, too
  const other = sets("--user", "65534", "--cap-add", "NET_RAW");
  expect(other).toMatchObject({ effective: NET_RAW, ambient: NET_RAW });
  expect(sets("--user", "65534")).toMatchObject({ effective: 0n, ambient: 0n });
  expect(run("--cap-drop", "CHOWN", "--", "chown", "7", "/tmp").status).toBe(1);
  expect(run("--", "chown", "7", "/tmp").status).toBe(0);
  // the profile of system calls goes with them
  expect(run("--", "unshare", "--mount", "true").status).not.toBe(0);
  expect(run("--cap-add", "SYS_ADMIN", "--", "unshare", "--mount", "true").status).toBe(0);
  const id = box.id();
  box.ok("run", "-d", "--rootfs", "/", "--cap-drop", "ALL", id, "--", "sleep", "100");
  expect(box.ok("exec", id, "grep", "CapBnd", "/proc/self/status").stdout).toContain("\t0000000000000000");
  box.ok("delete", "-f", id);
  for (const words of [
    ["--cap-drop", "CHOWNN"],
    ["--cap-drop="],
    ["--cap-add", "KILL", "--cap-drop", "KILL"],
  ])
    expect([words, run(...words, "--", "true").status]).toEqual([words, 2]);
  expect(box.ok("list", "-q").stdout).toBe("");
}, [needsHako]);

e2e("--cap-add refuses what hako itself hasn't got, and ALL is what there is", () => {
  using box = new Box();
  const hako = (...words: string[]) =>
    execute("setpriv", ["--bounding-set", "-sys_time", HAKO, "--root", box.root, ...RUN, ...words]);
  expect(hako("--cap-add", "SYS_TIME", "--", "true").stderr).toContain("hako itself doesn't have it");
  const { stdout, stderr } = hako("--cap-add", "ALL", "--", "grep", "CapEff", "/proc/self/status");
  expect([stderr, BigInt(`0x${stdout.slice("CapEff:".length).trim()}`) & (1n << 25n)]).toEqual(["", 0n]);
}, [needsHako, needsProgram("setpriv")]);

e2e("--device: the host's node, and what may be done with it", () => {
  using box = new Box();
  const run = (...words: string[]) => box.hako(...RUN, ...words);
  const line =
    "ls /dev/given 2>/dev/null; head -c 4 /dev/given 2>/dev/null | wc -c; echo x 2>/dev/null >/dev/given && echo w";
  expect(run("--", "sh", "-c", "test ! -e /dev/fuse").status).toBe(0);
  const given = (spec: string) => run("--device", spec, "--", "sh", "-c", line).stdout;
  expect(given("/dev/zero:/dev/given")).toBe("/dev/given\n4\nw\n");
  if (statSync("/dev/fuse", { throwIfNoEntry: false })?.isCharacterDevice()) {
    // one that isn't open to everybody anyway
    const opens = (spec: string, flags: string) =>
      run("--device", spec, "--", "sh", "-c", `exec 3${flags}/dev/fuse`).status;
    expect([
      opens("/dev/fuse", "<>"),
      opens("/dev/fuse:r", "<"),
      opens("/dev/fuse:/dev/fuse:r", ">"),
    ]).toEqual([0, 0, 2]);
    const { mode, uid, gid } = statSync("/dev/fuse");
    const seen = run("--device", "/dev/fuse", "--", "stat", "-c", "%a %u %g", "/dev/fuse").stdout;
    expect(seen).toBe(`${(mode & 0o777).toString(8)} ${uid} ${gid}\n`);
  }
  for (const spec of ["/etc/passwd", "/no/such", "null", "/dev/null:x", ""])
    expect([spec, run("--device", spec, "--", "true").status]).toEqual([spec, 2]);
}, [needsHako]);

e2e("--ulimit and --tmpfs", () => {
  using box = new Box();
  const run = (...words: string[]) => box.hako(...RUN, ...words);
  const limits = run(
    "--ulimit",
    "nofile=70:80",
    "--ulimit",
    "core=0",
    "--",
    "sh",
    "-c",
    "ulimit -n; ulimit -Hn; ulimit -c",
  );
  expect(limits.stdout).toBe("70\n80\n0\n");
  expect(run("--ulimit", "nofils=1", "--", "true").stderr).toContain("did you mean nofile?");
  const own = /Max open files\s+\d+\s+(\d+)/.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? "";
  expect(run("--", "sh", "-c", "ulimit -Hn").stdout).toBe(`${own}\n`);
  const line =
    "touch /run/x && cp /bin/true /run/true; /run/true && echo executed; grep ' /run ' /proc/mounts";
  const plain = run("--tmpfs", "/run:size=1m", "--", "sh", "-c", line);
  expect(plain.stdout).toMatch(/^tmpfs \/run tmpfs rw,nosuid,nodev,noexec,.*size=1024k/);
  expect(run("--tmpfs", "/run:exec", "--", "sh", "-c", line).stdout).toStartWith("executed\n");
  expect(run("--tmpfs", "/run:RO", "--", "true").status).toBe(2);
}, [needsHako]);
