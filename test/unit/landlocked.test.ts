// A command without namespaces: which places it is allowed, and what it may call.
import { describe, expect, test } from "bun:test";
import {
  type AllowedPlace,
  allowedPlaces,
  closedDirectories,
  type PlaceEntry,
  type PlaceWishes,
} from "../../src/container/landlocked/allowed-places";
import { landlockedProfile } from "../../src/container/landlocked/landlocked-profile";
import { SCRIPT_CAPABILITIES } from "../../src/container/script/script-capabilities";
import {
  ACCESS_FS,
  ALL,
  handledAccess,
  keepsFiles,
  letsFilesMove,
  scopesSignals,
} from "../../src/linux/process/landlock";
import { ARCHITECTURES } from "../../src/oci/seccomp-words";
import { compile } from "../../src/seccomp/compile";
import { SYSCALLS } from "../../src/seccomp/syscalls";
import { run } from "../seccomp/interpreter";

const ALLOW = 0x7fff0000;
const EPERM = 0x00050001;

/** Directories by their paths; what ends in @ is a link. */
const TREE: Record<string, string[]> = {
  "/": ["bin@", "dev", "home", "usr"],
  "/home": ["me", "you"],
  "/home/me": [".ssh", "project", "notes", "link@"],
  "/home/me/project": [".git", "src"],
  "/home/me/project/.git": ["hooks", "config", "objects"],
};

function entries(directory: string): PlaceEntry[] {
  return (TREE[directory] ?? []).map((word) => ({ name: word.replace("@", ""), isLink: word.endsWith("@") }));
}

function withAll(wishes: Partial<PlaceWishes>): PlaceWishes {
  return { hidden: [], hiddenDirectories: wishes.hidden ?? [], written: [], protected: [], ...wishes };
}

function places(wishes: Partial<Parameters<typeof allowedPlaces>[0]>): AllowedPlace[] {
  return allowedPlaces(withAll(wishes), entries);
}

/** Where a right is given. */
function given(right: keyof typeof ACCESS_FS, wishes: Parameters<typeof places>[0]): string[] {
  const found = places(wishes).filter(({ access }) => (access & ACCESS_FS[right]) !== 0);
  return [...new Set(found.map(({ path }) => path))].filter((path) => !path.startsWith("/dev/"));
}

describe("places", () => {
  test("all is read but devices, and nothing written", () => {
    expect(given("READ_FILE", {})).toEqual(["/home", "/usr"]);
    expect(given("READ_DIR", {})).toEqual(["/"]);
    expect(given("WRITE_FILE", {})).toEqual([]);
    expect(given("MAKE_REG", {})).toEqual([]);
    const devices = places({}).filter(({ path }) => path.startsWith("/dev/"));
    expect(devices.map(({ path }) => path)).toContain("/dev/null");
    expect(devices.map(({ path }) => path)).not.toContain("/dev/shm");
  });

  test("around what is hidden each entry is named, and no directory on the way is listed", () => {
    const wishes = { hidden: ["/home/me/.ssh"] };
    expect(given("READ_FILE", wishes)).toEqual(["/home/me/project", "/home/me/notes", "/home/you", "/usr"]);
    expect(given("READ_DIR", wishes)).toEqual([
      ...["/dev", "/home/me/project", "/home/me/notes", "/home/you", "/usr"],
    ]);
  });

  test("what is written, without what is protected or hidden in it", () => {
    expect(given("MAKE_REG", { written: ["/home/me/project"] })).toEqual(["/home/me/project"]);
    const wishes = {
      written: ["/home/me/project"],
      protected: ["/home/me/project/.git/hooks"],
      hidden: ["/home/me/project/.git/config"],
    };
    for (const right of ["WRITE_FILE", "MAKE_REG", "REMOVE_DIR", "REFER", "TRUNCATE"] as const)
      expect(given(right, wishes)).toEqual(["/home/me/project/.git/objects", "/home/me/project/src"]);
    expect(given("READ_FILE", wishes)).toContain("/home/me/project/.git/hooks");
    expect(given("READ_FILE", wishes)).not.toContain("/home/me/project/.git/config");
    for (const right of ["MAKE_CHAR", "MAKE_BLOCK"] as const) expect(given(right, wishes)).toEqual([]);
  });

  test("around a hidden file all is listed, and the file is not read", () => {
    const hidden = ["/home/me/notes"];
    const wishes = { hidden, hiddenDirectories: [], written: ["/home/me"] };
    for (const path of ["/", "/home/me"]) expect(given("READ_DIR", wishes)).toContain(path);
    for (const right of ["READ_FILE", "WRITE_FILE", "MAKE_REG"] as const)
      expect(given(right, wishes)).not.toContain("/home/me");
    expect(given("READ_FILE", wishes)).not.toContain("/home/me/notes");
  });

  test("which written directories are closed for what is below is told", () => {
    const project = "/home/me/project";
    const wishes = { written: [project], protected: [`${project}/.git/hooks`], hidden: ["/home/me/.ssh"] };
    expect(closedDirectories(withAll(wishes))).toEqual({
      unmade: [project, `${project}/.git`],
      unlisted: [],
    });
    const hiding = { written: ["/home"], hidden: ["/home/me/.ssh"] };
    expect(closedDirectories(withAll(hiding))).toEqual({
      ...{ unmade: ["/home", "/home/me"], unlisted: ["/home", "/home/me"] },
    });
    expect(closedDirectories(withAll({ written: [project], protected: [project] }))).toEqual({
      ...{ unmade: [], unlisted: [] },
    });
  });

  test("in a hidden directory, what is written there is seen", () => {
    const wishes = { hidden: ["/home/me"], written: ["/home/me/project"] };
    expect(given("READ_FILE", wishes)).toEqual(["/home/you", "/usr", "/home/me/project"]);
  });

  test("a written place that is hidden itself is neither", () => {
    const wishes = { hidden: ["/home/me"], written: ["/home/me"] };
    expect(given("WRITE_FILE", wishes)).toEqual([]);
  });
});

test("rights are those that an ABI knows", () => {
  expect(handledAccess(1)).toBe(0x1fff);
  expect(handledAccess(2)).toBe(0x3fff);
  expect(handledAccess(3)).toBe(0x7fff);
  expect(handledAccess(4)).toBe(0x7fff);
  expect(handledAccess(5)).toBe(ALL);
  expect(handledAccess(99)).toBe(0xffff);
  expect([0, 1, 2, 3, 7].map((abi) => keepsFiles(abi))).toEqual([false, false, false, true, true]);
  expect([0, 1, 2, 7].map((abi) => letsFilesMove(abi))).toEqual([false, false, true, true]);
  expect([3, 5, 6].map((abi) => scopesSignals(abi))).toEqual([false, false, true]);
});

describe("the profile", () => {
  const answerOf = (network: boolean, attributes: boolean) => {
    const wishes = { capabilities: SCRIPT_CAPABILITIES, network, attributes };
    const { program } = compile(landlockedProfile(wishes, "SCMP_ARCH_X86_64"), "SCMP_ARCH_X86_64");
    return (name: string, ...args: bigint[]) => {
      const { audit, column } = ARCHITECTURES.SCMP_ARCH_X86_64 ?? { audit: 0, column: 0 };
      return run(program, { nr: SYSCALLS[name]?.[column] ?? -1, arch: audit, args }).answer;
    };
  };
  const plain = answerOf(false, false);

  test("no sockets but pairs, or those of the host's network", () => {
    const networked = answerOf(true, false);
    for (const family of [0, 1, 2, 10, 16, 17, 40]) {
      for (const high of [0n, 1n << 32n]) {
        expect(plain("socket", BigInt(family) | high)).toBe(EPERM);
        expect(networked("socket", BigInt(family) | high)).toBe([2, 10, 16].includes(family) ? ALLOW : EPERM);
      }
    }
    expect(plain("socketpair", 1n)).toBe(ALLOW);
  });

  test("nothing that is the host's beside files", () => {
    for (const name of ["shmget", "shmat", "msgget", "semget", "semop", "mq_open", "mq_unlink"])
      expect([name, plain(name)]).toEqual([name, EPERM]);
    expect(plain("prlimit64", 0n)).toBe(ALLOW);
    expect(plain("prlimit64", 1n)).toBe(EPERM);
    expect(plain("setpriority", 0n, 0n)).toBe(ALLOW);
    expect(plain("setpriority", 0n, 1n)).toBe(EPERM);
    expect(plain("setpriority", 2n, 0n)).toBe(EPERM);
  });

  test("no attributes, unless they are asked for", () => {
    const free = answerOf(false, true);
    const names = ["chmod", "fchmodat", "fchmodat2", "lchown", "utimensat", "setxattr", "fremovexattr"];
    for (const name of names) expect([name, plain(name), free(name)]).toEqual([name, EPERM, ALLOW]);
    const forbidden = [0x40086602, 0x40046602, 0x401c5820];
    for (const number of forbidden) {
      for (const high of [0n, 1n << 32n]) expect(plain("ioctl", 0n, BigInt(number) | high)).toBe(EPERM);
      expect(free("ioctl", 0n, BigInt(number))).toBe(ALLOW);
    }
    const others = [0, 0x5401, 0x5413, 0x80086601, 0xffffffff];
    const beside = forbidden.flatMap((number) => [number - 1, number + 1, number ^ 0x80000000]);
    for (const number of [...others, ...beside]) {
      if (forbidden.includes(number)) continue;
      expect([number, plain("ioctl", 0n, BigInt(number >>> 0))]).toEqual([number, ALLOW]);
    }
  });
});
