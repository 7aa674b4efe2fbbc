import type { Config, Problem } from "./config";
import { when } from "./problem";

/** Names in the resctrl file system that can't be those of classes (filesystems/resctrl.rst). */
const NO_CLASS = [".", "..", "info", "mon_groups", "mon_data"];

/** Checks linux.intelRdt: the name of its class, and that each schema is one line. */
export function intelRdtProblems({ linux }: Config): Problem[] {
  const { closID = "", l3CacheSchema = "", memBwSchema = "", schemata = [] } = linux?.intelRdt ?? {};
  const base = "/linux/intelRdt";
  const lines = [
    ["l3CacheSchema", l3CacheSchema, /^(L3[^\n]*)?$/, "L3:"],
    ["memBwSchema", memBwSchema, /^(MB:[^\n]*)?$/, "MB:"],
    ...schemata.map((line, index) => [`schemata/${index}`, line, /^[^\n]*$/, "a name"] as const),
  ] as const;
  return [
    ...when(
      closID !== "/" && (/[/\n]/.test(closID) || NO_CLASS.includes(closID)),
      `${base}/closID`,
      `${JSON.stringify(closID)} is no name of a class`,
    ),
    ...lines.flatMap(([field, line, form, start]) =>
      when(
        !form.test(line),
        `${base}/${field}`,
        `expected one line that begins with ${start}, got ${JSON.stringify(line)}`,
      ),
    ),
  ];
}
