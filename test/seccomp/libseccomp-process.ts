// The host's libseccomp in a process of its own: some profiles make it crash or run for ever. A line of JSON in, a line out; see ./libseccomp.ts.
import { dlopen, FFIType as T } from "bun:ffi";
import { closeSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Seccomp } from "../../src/oci/config";
import { ARCHITECTURES } from "../../src/oci/seccomp-words";
import { answerOf } from "../../src/seccomp/rules";
import type { Answer, Request } from "./libseccomp";

const OPERATORS: Record<string, number> = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
};
/** SCMP_ARCH_X32 is no audit architecture: the EM_ word without its 64-bit flag. */
const X32 = 0x4000003e;
const EEXIST = -17;

const library = dlopen("libseccomp.so.2", {
  seccomp_init: { args: [T.u32], returns: T.ptr },
  seccomp_arch_add: { args: [T.ptr, T.u32], returns: T.i32 },
  seccomp_syscall_resolve_name: { args: [T.cstring], returns: T.i32 },
  seccomp_syscall_resolve_name_arch: { args: [T.u32, T.cstring], returns: T.i32 },
  seccomp_rule_add_array: { args: [T.ptr, T.u32, T.i32, T.u32, T.ptr], returns: T.i32 },
  seccomp_export_bpf: { args: [T.ptr, T.i32], returns: T.i32 },
  seccomp_release: { args: [T.ptr], returns: T.void },
}).symbols;
const file = join(tmpdir(), `hako-libseccomp-${process.pid}`);

/** The filter that libseccomp makes of a profile, filled in as runc does, without runc's preface about newer calls. */
function filter(profile: Seccomp): Answer {
  const byDefault = answerOf(profile.defaultAction, profile.defaultErrnoRet);
  const context = library.seccomp_init(byDefault);
  try {
    for (const name of profile.architectures ?? []) {
      const result = library.seccomp_arch_add(context, token(name));
      if (result !== 0 && result !== EEXIST) throw new Error(`seccomp_arch_add ${name}: ${result}`);
    }
    for (const { names, action, errnoRet, args = [] } of profile.syscalls ?? []) {
      const answer = answerOf(action, errnoRet);
      if (answer === byDefault) continue;
      const groups =
        new Set(args.map(({ index }) => index)).size === args.length ? [args] : args.map((arg) => [arg]);
      for (const name of names) {
        const number = library.seccomp_syscall_resolve_name(text(name));
        if (number === -1) continue;
        for (const group of groups) {
          const values = comparisons(group) as never;
          const result = library.seccomp_rule_add_array(context, answer, number, group.length, values);
          if (result === EEXIST) return { refused: true };
          if (result !== 0) throw new Error(`seccomp_rule_add ${name}: ${result}`);
        }
      }
    }
    const fd = openSync(file, "w");
    try {
      if (library.seccomp_export_bpf(context, fd) !== 0) throw new Error("seccomp_export_bpf");
    } finally {
      closeSync(fd);
    }
    const program = readFileSync(file, "base64");
    // this process is killed at some moment
    rmSync(file);
    return { program };
  } finally {
    library.seccomp_release(context);
  }
}

function token(architecture: string): number {
  return architecture === "SCMP_ARCH_X32" ? X32 : (ARCHITECTURES[architecture]?.audit ?? 0);
}

function text(name: string): never {
  return Buffer.from(`${name}\0`) as never;
}

/** struct scmp_arg_cmp */
function comparisons(args: NonNullable<NonNullable<Seccomp["syscalls"]>[number]["args"]>): Uint8Array {
  const bytes = new Uint8Array(24 * Math.max(1, args.length));
  const view = new DataView(bytes.buffer);
  args.forEach(({ index, op, value, valueTwo }, at) => {
    view.setUint32(24 * at, index, true);
    view.setUint32(24 * at + 4, OPERATORS[op] ?? 0, true);
    view.setBigUint64(24 * at + 8, BigInt.asUintN(64, BigInt(value)), true);
    view.setBigUint64(24 * at + 16, BigInt.asUintN(64, BigInt(valueTwo)), true);
  });
  return bytes;
}

function answer(request: Request): Answer {
  if ("profile" in request) return filter(request.profile);
  const { names, architecture } = request;
  return {
    known: names.filter(
      (name) => library.seccomp_syscall_resolve_name_arch(token(architecture), text(name)) >= 0,
    ),
  };
}

process.on("exit", () => rmSync(file, { force: true }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(answer(JSON.parse(line) as Request)));
}
