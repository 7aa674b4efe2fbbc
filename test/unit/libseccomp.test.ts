import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import type { Seccomp } from "../../src/oci/config";
import {
  type Action,
  ARCHITECTURES,
  NATIVE,
  OPERATORS,
  type Operator,
  X32_BIT,
} from "../../src/oci/seccomp-words";
import { compile } from "../../src/seccomp/compile";
import { lastNumber } from "../../src/seccomp/rules";
import { SYSCALLS } from "../../src/seccomp/syscalls";
import { parseConfig } from "../parse-config";
import { comparesStale, run } from "../seccomp/interpreter";
import { isInstalled, Libseccomp } from "../seccomp/libseccomp";
import { answersTo, type Rules, turningPoints } from "../seccomp/reading";

const missing = !isInstalled
  ? "libseccomp2 is not installed"
  : NATIVE === "SCMP_ARCH_X86_64"
    ? undefined
    : "the oracle is x86-64's";
if (missing !== undefined) console.log(`skipped: the same as libseccomp: ${missing}`);
const RUNS = 150;
const SLOW = 60_000 * Number(process.env.HAKO_TIME_FACTOR ?? 1);

const library = missing === undefined ? new Libseccomp() : undefined;
afterAll(() => library?.[Symbol.dispose]());
const theirs = (): Libseccomp => {
  if (library === undefined) throw new Error("libseccomp is not installed");
  return library;
};

/** podman's comes with it; docker's is inside dockerd, and scripts/test takes it from its sources. */
const PROFILES = {
  podman: "/usr/share/containers/seccomp.json",
  docker: process.env.HAKO_DOCKER_PROFILE,
};

/** docker's and podman's profiles have conditions about the host and the container's capabilities beside the spec's fields. */
function resolved(file: string, capabilities: readonly string[]): Seccomp {
  interface Entry {
    includes?: { caps?: string[]; arches?: string[]; minKernel?: string };
    excludes?: { caps?: string[]; arches?: string[] };
  }
  const source = JSON.parse(readFileSync(file, "utf8")) as { syscalls: Entry[]; [key: string]: unknown };
  const has = (list: string[] | undefined, wanted: readonly string[]) =>
    (list ?? []).some((each) => wanted.includes(each));
  const kept = source.syscalls.filter(({ includes, excludes }) => {
    const needs = includes?.caps?.length ? has(includes.caps, capabilities) : true;
    const arches = includes?.arches?.length ? has(includes.arches, ["amd64"]) : true;
    return needs && arches && !has(excludes?.caps, capabilities) && !has(excludes?.arches, ["amd64"]);
  });
  const architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
  const config = { ociVersion: "1.3.0", linux: { seccomp: { ...source, architectures, syscalls: kept } } };
  const profile = parseConfig(JSON.stringify(config), "config.json").linux?.seccomp;
  if (profile === undefined) throw new Error("no profile");
  return profile;
}

interface Case {
  call: { nr: number; arch: number; args: bigint[] };
  /** What the rules that hold say. */
  answers: number[];
}

/** Calls of every listed architecture, with arguments at which an answer may change. */
async function casesOf(profile: Seccomp, most: number, others: readonly number[] = []): Promise<Case[]> {
  const cases: Case[] = [];
  for (const architectureName of new Set([NATIVE, ...(profile.architectures ?? [])])) {
    const architecture = ARCHITECTURES[architectureName];
    if (architecture === undefined) continue;
    const { audit, column, narrow } = architecture;
    const base = architectureName === "SCMP_ARCH_X32" ? X32_BIT : 0;
    const known = await theirs().known(Object.keys(SYSCALLS), architectureName);
    const names = new Map<number, string>();
    for (const name of new Set((profile.syscalls ?? []).flatMap((rule) => rule.names))) {
      names.set(SYSCALLS[name]?.[column] ?? -1, name);
    }
    const last = lastNumber(profile, architecture);
    for (const nr of new Set([...others, ...names.keys()])) {
      const name = names.get(nr) ?? "";
      if (nr < 0 || nr > last || (name !== "" && !known.has(name))) continue;
      const rules: Rules = (profile.syscalls ?? []).filter((rule) => rule.names.includes(name));
      for (const args of argumentLists(rules, most, narrow)) {
        cases.push({
          call: { nr: base + nr, arch: audit, args },
          answers: answersTo(profile, name, args, narrow),
        });
      }
    }
  }
  return cases;
}

function argumentLists(rules: Rules, most: number, narrow: boolean): bigint[][] {
  const points = turningPoints(rules).map((value) => BigInt.asUintN(narrow ? 32 : 64, value));
  let lists: bigint[][] = [[0n, 0n, 0n, 0n, 0n, 0n]];
  for (const index of new Set(rules.flatMap(({ args }) => (args ?? []).map((arg) => arg.index)))) {
    lists = lists.flatMap((list) => points.map((value) => list.with(index, value)));
  }
  return lists.length > most ? lists.filter((_, at) => at % Math.ceil(lists.length / most) === 0) : lists;
}

const ACTIONS: readonly Action[] = [
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_LOG",
  "SCMP_ACT_TRAP",
];
const ARCHITECTURE_LISTS = [
  ["SCMP_ARCH_X86_64"],
  ["SCMP_ARCH_X86"],
  ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
];
/** Few, so that rules overlap. */
const CALLS = ["personality", "ioctl"];
const VALUES = [
  0n,
  1n,
  2n,
  3n,
  5n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 32n + 1n,
  2n ** 33n + 1n,
  2n ** 64n - 1n,
];

type Arguments = NonNullable<Rules[number]["args"]>;

function profiles(args: fc.Arbitrary<Arguments>): fc.Arbitrary<Seccomp> {
  return fc.record({
    defaultAction: fc.constantFrom(...ACTIONS),
    architectures: fc.constantFrom(...ARCHITECTURE_LISTS),
    syscalls: fc.array(
      fc.record({
        names: fc.uniqueArray(fc.constantFrom(...CALLS), { minLength: 1 }),
        action: fc.constantFrom(...ACTIONS),
        args,
      }),
      { minLength: 1, maxLength: 8 },
    ),
  });
}

const condition = (operators: readonly Operator[]) =>
  fc.record({
    op: fc.constantFrom(...operators),
    value: fc.constantFrom(...VALUES),
    valueTwo: fc.constantFrom(...VALUES),
  });
const BOUNDS = [
  ["SCMP_CMP_GT", "SCMP_CMP_GE"],
  ["SCMP_CMP_LT", "SCMP_CMP_LE"],
] as const;
const EQUAL: readonly Operator[] = ["SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"];

/** One condition, of any kind. */
const single = fc
  .tuple(fc.integer({ min: 0, max: 2 }), condition(OPERATORS))
  .map(([index, one]): Arguments => [{ index, ...one }]);
/** Several conditions, those before the last of them for equality; the last ones of a profile are bounds of one kind. */
const several = (bounds: readonly Operator[]) =>
  fc
    .tuple(
      fc.subarray([0, 1, 2], { minLength: 1 }),
      fc.tuple(condition(EQUAL), condition(EQUAL)),
      condition([...EQUAL, ...bounds]),
    )
    .map(
      ([indexes, firsts, last]): Arguments =>
        indexes.map((index, at) => ({ index, ...(at === indexes.length - 1 ? last : (firsts[at] ?? last)) })),
    );
const any = fc
  .tuple(
    fc.subarray([0, 1, 2], { minLength: 1 }),
    fc.tuple(condition(OPERATORS), condition(OPERATORS), condition(OPERATORS)),
  )
  .map(([indexes, all]): Arguments => indexes.map((index) => ({ index, ...(all[index] ?? all[0]) })));

/** hako's filter; undefined where a rule contradicts another. */
function filterOf(profile: Seccomp): Uint8Array | undefined {
  try {
    return compile(profile).program;
  } catch (error) {
    expect((error as Error).message).toContain("contradicts /linux/seccomp/syscalls/");
    return undefined;
  }
}

describe.skipIf(missing !== undefined)("the same as libseccomp", () => {
  for (const [name, file] of Object.entries(PROFILES)) {
    const needs =
      file !== undefined && existsSync(file) ? undefined : `no profile of ${name} on this machine`;
    if (needs !== undefined) console.log(`skipped: ${name}'s default profile: ${needs}`);
    for (const capabilities of [[], ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_AUDIT_WRITE"]]) {
      test.skipIf(needs !== undefined)(
        `${name}'s default profile, ${capabilities.length} capabilities`,
        async () => {
          const profile = resolved(file ?? "", capabilities);
          const reference = await theirs().filter(profile);
          if (!(reference instanceof Uint8Array)) throw new Error(reference);
          const mine = compile(profile).program;
          // arm has some private calls far beyond the others
          const cases = await casesOf(profile, 200, [...Array(600).keys()]);
          expect(cases.length).toBeGreaterThan(1000);
          for (const { call } of cases) {
            const answers = [mine, reference].map((program) => run(program, call).answer);
            if (answers[0] !== answers[1])
              throw new Error(`${call.nr} of ${call.arch} (${call.args}): ${answers}`);
          }
        },
        SLOW,
      );
    }
  }

  /**
   * Whether another answer is given than libseccomp's; one that no rule gives is an error. libseccomp's program may compare
   * what was loaded for another comparison, where ways come together: nothing is to be learnt from it then.
   */
  async function differs(profile: Seccomp): Promise<boolean> {
    const reference = await theirs().filter(profile);
    const mine = filterOf(profile);
    if (reference !== "nothing") expect(mine === undefined).toBe(reference === "refused");
    if (mine === undefined) return false;
    const other = reference instanceof Uint8Array && !comparesStale(reference) ? reference : undefined;
    let found = false;
    for (const { call, answers } of await casesOf(profile, 40)) {
      const given = run(mine, call).answer;
      expect(answers).toContain(given);
      if (other !== undefined && run(other, call).answer !== given) found = true;
    }
    return found;
  }

  const kinds = {
    "one condition": profiles(single),
    "several conditions": fc.constantFrom(...BOUNDS).chain((bounds) => profiles(several(bounds))),
  };
  for (const [what, arbitrary] of Object.entries(kinds)) {
    test(
      `overlapping rules of ${what}`,
      async () => {
        const property = fc.asyncProperty(arbitrary, async (profile) => {
          expect(await differs(profile)).toBe(false);
        });
        await fc.assert(property, { seed: 18, numRuns: RUNS });
      },
      SLOW,
    );
  }

  /**
   * Of rules that ask the same question and go on after opposite answers, or of < and > before another argument, libseccomp
   * forgets some, applies some where they don't hold, and with some crashes or never comes to an end. hako's answer is that of a rule
   * that holds.
   */
  test(
    "overlapping rules of any conditions",
    async () => {
      let count = 0;
      const property = fc.asyncProperty(profiles(any), async (profile) => {
        if (await differs(profile)) count++;
      });
      await fc.assert(property, { seed: 18, numRuns: RUNS });
      expect(count).toBeLessThan(RUNS / 10);
    },
    SLOW,
  );
});
