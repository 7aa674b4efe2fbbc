import * as v from "valibot";
import { between, list, object, optional, someTexts, text, uint64 } from "./schema";
import { ACTIONS, ARCHITECTURES, FLAGS, FOREIGN_ARCHITECTURES, OPERATORS } from "./seccomp-words";

/** `linux.seccomp` of config.json (runtime-spec config-linux.md "Seccomp"). */

function oneOf(what: string, names: readonly string[]) {
  return v.pipe(
    text,
    v.check((name) => names.includes(name), `expected ${what}, such as ${names[0]}`),
  );
}

const action = oneOf("an action", Object.keys(ACTIONS));
const number = optional(between(0, 0xffff));

const argument = object({
  index: between(0, 5),
  value: uint64,
  valueTwo: v.nullish(uint64, 0),
  op: oneOf("an operator", OPERATORS),
});

export const architecture = oneOf("an architecture", [
  ...Object.keys(ARCHITECTURES),
  ...FOREIGN_ARCHITECTURES,
]);

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
  flags: list(oneOf("a flag", Object.keys(FLAGS))),
  listenerPath: optional(text),
  listenerMetadata: optional(text),
  syscalls: list(object(RULE)),
};

export const seccomp = object(PROFILE);
