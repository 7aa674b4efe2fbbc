import { describe, expect, test } from "bun:test";
import type { Seccomp } from "../../src/oci/config";
import { ARCHITECTURES, NATIVE, OPERATORS, X32_BIT } from "../../src/oci/seccomp-words";
import { compile } from "../../src/seccomp/compile";
import { SYSCALLS } from "../../src/seccomp/syscalls";
import { parseConfig } from "../parse-config";
import { run } from "../seccomp/interpreter";
import { HOLDS } from "../seccomp/reading";

const X64 = ARCHITECTURES.SCMP_ARCH_X86_64?.audit ?? 0;
const X86 = ARCHITECTURES.SCMP_ARCH_X86?.audit ?? 0;
const ALLOW = 0x7fff0000;
const EPERM = 0x00050001;
const ENOSYS = 0x00050026;
const LOG = 0x7ffc0000;
const KILL = 0;
const isX64 = NATIVE === "SCMP_ARCH_X86_64";

/** A profile through the schema, as from a file. */
function profile(seccomp: object): Seccomp {
  const text = JSON.stringify({ ociVersion: "1.3.0", linux: { seccomp } }, (_, value) =>
    typeof value === "bigint" ? Number(value) : value,
  );
  const parsed = parseConfig(text, "config.json").linux?.seccomp;
  if (parsed === undefined) throw new Error("no profile");
  return parsed;
}

function number(name: string, architecture = "SCMP_ARCH_X86_64"): number {
  return SYSCALLS[name]?.[ARCHITECTURES[architecture]?.column ?? 0] ?? -1;
}

function answer(seccomp: object, nr: number, args: bigint[] = [], arch = X64): number {
  return run(compile(profile(seccomp)).program, { nr, arch, args }).answer;
}

describe.if(isX64)("a filter", () => {
  const denying = {
    defaultAction: "SCMP_ACT_ERRNO",
    syscalls: [{ names: ["read", "mseal"], action: "SCMP_ACT_ALLOW" }],
  };

  test("answers what the profile says, and its default", () => {
    expect(answer(denying, number("read"))).toBe(ALLOW);
    expect(answer(denying, number("write"))).toBe(EPERM);
  });
  test("calls newer than the newest that the profile names are not there", () => {
    expect(answer(denying, number("mseal"))).toBe(ALLOW);
    expect(answer(denying, number("mseal") + 1)).toBe(ENOSYS);
    expect(answer({ defaultAction: "SCMP_ACT_LOG", syscalls: denying.syscalls }, 5000)).toBe(0x7ffc0000);
  });
  test("other architectures and x32 die, unless they are listed", () => {
    expect(answer(denying, 3, [], X86)).toBe(KILL);
    expect(answer(denying, X32_BIT)).toBe(KILL);
    expect(answer(denying, -1)).toBe(EPERM);
    const all = { ...denying, architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"] };
    expect(answer(all, 3, [], X86)).toBe(ALLOW);
    expect(answer(all, X32_BIT)).toBe(ALLOW);
    expect(answer(all, X32_BIT + number("mseal", "SCMP_ARCH_X32") + 1)).toBe(ENOSYS);
  });
  test("actions, with and without their number", () => {
    const rows: [object, number][] = [
      [{ action: "SCMP_ACT_KILL" }, 0],
      [{ action: "SCMP_ACT_KILL_THREAD" }, 0],
      [{ action: "SCMP_ACT_KILL_PROCESS" }, 0x80000000],
      [{ action: "SCMP_ACT_TRAP" }, 0x00030000],
      [{ action: "SCMP_ACT_ERRNO" }, EPERM],
      [{ action: "SCMP_ACT_ERRNO", errnoRet: 22 }, 0x00050016],
      [{ action: "SCMP_ACT_ERRNO", errnoRet: 0 }, 0x00050000],
      [{ action: "SCMP_ACT_TRACE", errnoRet: 7 }, 0x7ff00007],
      [{ action: "SCMP_ACT_LOG" }, 0x7ffc0000],
      [{ action: "SCMP_ACT_NOTIFY" }, 0x7fc00000],
    ];
    for (const [rule, expected] of rows) {
      const seccomp = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["getcwd"], ...rule }] };
      expect(answer(seccomp, number("getcwd"))).toBe(expected);
    }
  });
  test("flags, and a listener where something is notified", () => {
    const flags = [
      "SECCOMP_FILTER_FLAG_TSYNC",
      "SECCOMP_FILTER_FLAG_LOG",
      "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
      "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    ];
    // the kernel refuses what is about a listener where there is none
    expect(compile(profile({ ...denying, flags })).flags).toBe(2 | 4);
    const notifying = (...names: string[]) => ({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names, action: "SCMP_ACT_NOTIFY" }],
    });
    expect(compile(profile(notifying("getcwd")))).toMatchObject({ flags: 8, passedBy: "sendmsg" });
    expect(compile(profile({ ...notifying("getcwd"), flags })).flags).toBe(2 | 4 | 8 | 32);
    expect(compile(profile(notifying("getcwd", "sendmsg"))).passedBy).toBe("sendmmsg");
  });
  test("a rule without conditions has the last word; names that nobody knows are skipped", () => {
    const conditional = {
      names: ["read"],
      action: "SCMP_ACT_ERRNO",
      args: [{ index: 0, value: 3, op: "SCMP_CMP_EQ" }],
    };
    const plain = { names: ["read", "no_such_call"], action: "SCMP_ACT_LOG" };
    for (const syscalls of [
      [conditional, plain],
      [plain, conditional],
    ]) {
      expect(answer({ defaultAction: "SCMP_ACT_ALLOW", syscalls }, 0, [3n])).toBe(0x7ffc0000);
    }
  });
  test("two conditions on one argument are alternatives, on different ones they hold together", () => {
    const rule = (args: object[]) => ({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["read"], action: "SCMP_ACT_ERRNO", args }],
    });
    const is = (index: number, value: number) => ({ index, value, op: "SCMP_CMP_EQ" });
    expect(answer(rule([is(0, 1), is(0, 2)]), 0, [2n])).toBe(EPERM);
    expect(answer(rule([is(0, 1), is(1, 2)]), 0, [1n, 3n])).toBe(ALLOW);
    expect(answer(rule([is(0, 1), is(1, 2)]), 0, [1n, 2n])).toBe(EPERM);
  });
  test("of overlapping conditions the closer bound and the later argument answer, in any order", () => {
    const rule = (action: string, ...args: [number, string, number][]) => ({
      names: ["read"],
      action: `SCMP_ACT_${action}`,
      args: args.map(([index, op, value]) => ({ index, op: `SCMP_CMP_${op}`, value })),
    });
    const rows: [object[], bigint[], number][] = [
      [[rule("LOG", [0, "GE", 2]), rule("ERRNO", [0, "GE", 5])], [7n, 0n], EPERM],
      [[rule("LOG", [0, "GE", 2]), rule("ERRNO", [0, "GE", 5])], [3n, 0n], LOG],
      [[rule("LOG", [0, "LE", 9]), rule("ERRNO", [0, "LT", 5])], [3n, 0n], EPERM],
      [[rule("LOG", [0, "GE", 2]), rule("ERRNO", [0, "EQ", 5])], [5n, 0n], EPERM],
      [[rule("LOG", [0, "EQ", 5]), rule("ERRNO", [1, "EQ", 6])], [5n, 6n], EPERM],
      // libseccomp forgets the second one
      [[rule("ERRNO", [1, "EQ", 3]), rule("ERRNO", [0, "EQ", 2], [1, "NE", 3])], [2n, 5n], EPERM],
      // libseccomp never comes to an end
      [
        [rule("ERRNO", [0, "GE", 3], [1, "EQ", 1]), rule("LOG", [0, "GE", 3], [2, "EQ", 3])],
        [4n, 1n, 0n],
        EPERM,
      ],
      [
        [rule("ERRNO", [0, "GE", 3], [1, "EQ", 1]), rule("LOG", [0, "GE", 3], [2, "EQ", 3])],
        [4n, 1n, 3n],
        LOG,
      ],
      // libseccomp compares the low half where it says the high one
      [[rule("ERRNO", [0, "LT", 3]), rule("LOG", [0, "LT", 0x200000001])], [5n], LOG],
    ];
    for (const [syscalls, args, expected] of rows) {
      const all = [...args, 0n, 0n, 0n, 0n, 0n, 0n].slice(0, 6);
      for (const order of [syscalls, syscalls.toReversed()]) {
        expect([order, answer({ defaultAction: "SCMP_ACT_ALLOW", syscalls: order }, 0, all)]).toEqual([
          order,
          expected,
        ]);
      }
    }
  });
  test("a rule that contradicts an earlier one is refused, as libseccomp does", () => {
    const args = [{ index: 0, value: 3, op: "SCMP_CMP_EQ" }];
    const syscalls = [
      { names: ["write"], action: "SCMP_ACT_LOG" },
      { names: ["close", "read"], action: "SCMP_ACT_ERRNO", args },
      { names: ["read"], action: "SCMP_ACT_LOG", args },
    ];
    const message =
      "config /linux/seccomp/syscalls/2: contradicts /linux/seccomp/syscalls/1: another answer to read with the same arguments";
    expect(() => compile(profile({ defaultAction: "SCMP_ACT_ALLOW", syscalls }))).toThrow(message);
    const same = syscalls.map((each) => ({ ...each, action: "SCMP_ACT_ERRNO" }));
    expect(answer({ defaultAction: "SCMP_ACT_ALLOW", syscalls: same }, 0, [3n])).toBe(EPERM);
  });
  test("a mask without bits compares nothing", () => {
    const none = {
      names: ["read"],
      action: "SCMP_ACT_ERRNO",
      args: [{ index: 0, value: 0, valueTwo: 7, op: "SCMP_CMP_MASKED_EQ" }],
    };
    const other = {
      names: ["read"],
      action: "SCMP_ACT_LOG",
      args: [{ index: 0, value: 3, op: "SCMP_CMP_EQ" }],
    };
    expect(answer({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [other, none] }, 0, [3n])).toBe(EPERM);
  });
  test("what can't be looked at in socketcall and ipc is forbidden, not allowed", () => {
    const through = (defaultAction: string, action: string, more: object[] = []) => {
      const conditional = {
        names: ["socket", "shmget"],
        action,
        args: [{ index: 0, value: 38, op: "SCMP_CMP_EQ" }],
      };
      const seccomp = { defaultAction, architectures: ["SCMP_ARCH_X86"], syscalls: [conditional, ...more] };
      const of = (name: string, first: bigint) =>
        answer(seccomp, number(name, "SCMP_ARCH_X86"), [first], X86);
      return [of("socketcall", 1n), of("socketcall", 2n), of("ipc", 23n), of("ipc", 0x10017n)];
    };
    expect(through("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO")).toEqual([EPERM, ALLOW, EPERM, EPERM]);
    expect(through("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW")).toEqual([EPERM, EPERM, EPERM, EPERM]);
    const whole = { names: ["socketcall", "shmget"], action: "SCMP_ACT_ALLOW" };
    expect(through("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", [whole])).toEqual([ALLOW, ALLOW, ALLOW, EPERM]);
  });
  test("a call of x86 that is reached through socketcall too", () => {
    const seccomp = {
      defaultAction: "SCMP_ACT_ERRNO",
      architectures: ["SCMP_ARCH_X86"],
      syscalls: [{ names: ["bind", "semop"], action: "SCMP_ACT_ALLOW" }],
    };
    expect(answer(seccomp, number("socketcall", "SCMP_ARCH_X86"), [2n], X86)).toBe(ALLOW);
    expect(answer(seccomp, number("socketcall", "SCMP_ARCH_X86"), [3n], X86)).toBe(EPERM);
    expect(answer(seccomp, number("ipc", "SCMP_ARCH_X86"), [1n], X86)).toBe(ALLOW);
  });
});

const BOUNDARIES = [
  0n,
  1n,
  2n,
  0x7fffffffn,
  0x80000000n,
  0xfffffffen,
  0xffffffffn,
  0x100000000n,
  0x1ffffffffn,
  2n ** 63n,
  2n ** 64n - 1n,
];

describe.if(isX64)("comparisons of 64 bits", () => {
  for (const op of OPERATORS) {
    const expected = HOLDS[op];
    test(op, () => {
      for (const value of BOUNDARIES) {
        for (const valueTwo of op === "SCMP_CMP_MASKED_EQ" ? BOUNDARIES : [0n]) {
          const rule: Seccomp = {
            defaultAction: "SCMP_ACT_ALLOW",
            syscalls: [
              { names: ["read"], action: "SCMP_ACT_ERRNO", args: [{ index: 5, value, valueTwo, op }] },
            ],
          };
          const { program } = compile(rule);
          for (const a of BOUNDARIES.flatMap((each) => [each - 1n, each, each + 1n])) {
            const args = [0n, 0n, 0n, 0n, 0n, a];
            const wanted = expected(BigInt.asUintN(64, a), value, valueTwo) ? EPERM : ALLOW;
            expect([a, value, run(program, { nr: 0, arch: X64, args }).answer]).toEqual([a, value, wanted]);
          }
        }
      }
    });
  }
});
