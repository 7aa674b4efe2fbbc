import * as v from "valibot";
import { between, list, nameOf, object, optional, someTexts, text, uint64 } from "./schema";
import { ACTIONS, ARCHITECTURES, FLAGS, FOREIGN_ARCHITECTURES, OPERATORS } from "./seccomp-words";

/** `linux.seccomp` of config.json (runtime-spec config-linux.md "Seccomp"). */

const action = nameOf(ACTIONS, "an action, such as SCMP_ACT_KILL");
const number = optional(between(0, 0xffff));

const argument = object({
  index: between(0, 5),
  value: uint64,
  valueTwo: v.nullish(uint64, 0),
  op: v.picklist(OPERATORS, "expected an operator, such as SCMP_CMP_NE"),
});

export const architecture = v.picklist(
  [...Object.keys(ARCHITECTURES), ...FOREIGN_ARCHITECTURES],
  "expected an architecture, such as SCMP_ARCH_X86_64",
);

export const RULE = {
  names: v.pipe(someTexts, v.minLength(1, "expected at least one name")),
  action,
  errnoRet: number,
  args: list(argument),
};

export const PROFILE = {
  defaultAction: action,
  defaultErrnoRet: number,
  architectures: list(architecture),
  flags: list(nameOf(FLAGS, "a flag, such as SECCOMP_FILTER_FLAG_TSYNC")),
  listenerPath: optional(text),
  listenerMetadata: optional(text),
  syscalls: list(object(RULE)),
};

export const seccomp = object(PROFILE);
