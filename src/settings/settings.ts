import * as v from "valibot";
import { parseSize } from "../base/size";
import { hasErrno, readText } from "../linux/file/file";
import { problemOf, problemsError } from "../oci/config";
import { problem } from "../oci/problem";
import { between, isText, object, schemaWord } from "../oci/schema";
import { unknownFields } from "../oci/unknown-fields";
import { checkWay } from "../state/trusted-path";
import { parseToml } from "./toml";

/** What an administrator decides for all users. No other file or variable names programs or files of the host. */
export const SETTINGS_FILE = "/etc/hako/config.toml";

/** hako's executable needs as much in a guest: with 96 MiB it is read from the disk again and again. */
const LEAST_MEMORY = 128 << 20;
const MOST_MEMORY = 2 ** 40;
const MOST_CPUS = 255;

const path = schemaWord(
  (value): value is string => isText(value) && value.startsWith("/"),
  () => "expected an absolute path",
  { type: "string", pattern: "^/" },
);
const memory = v.pipe(
  schemaWord(
    (value): value is string => isText(value) && isMemory(parseSize(value)),
    () => "expected a size from 128M to 1T",
    { type: "string" },
  ),
  v.transform((text) => parseSize(text) ?? LEAST_MEMORY),
);

function isMemory(bytes: number | undefined): boolean {
  return bytes !== undefined && bytes >= LEAST_MEMORY && bytes <= MOST_MEMORY;
}

export const TEMPLATE_USES = ["auto", "shared", "copy", "off"] as const;

/** Of machines. */
const machineEntries = {
  /** QEMU's executable; looked for if not given. */
  qemu: v.optional(path),
  /** virtiofsd's executable; looked for if not given. */
  virtiofsd: v.optional(path),
  /** A kernel, and the directory with its modules; looked for if not given. */
  kernel: v.optional(path),
  modules: v.optional(path),
  accelerator: v.optional(v.picklist(["auto", "kvm", "tcg"]), "auto"),
  memory: v.optional(memory, "256M"),
  cpus: v.optional(between(1, MOST_CPUS), 1),
  /** Whether machines are restored from one that was saved, and whether they share its memory. */
  template: v.optional(v.picklist(TEMPLATE_USES), "auto"),
};

const settings = object({ machine: v.optional(object(machineEntries), {}) });

export type Settings = v.InferOutput<typeof settings>;
export type MachineSettings = Settings["machine"];
/** How machines are made from a saved one: they share its memory as long as they don't write, or each has a copy of it; or they boot. */
export type TemplateUse = Exclude<MachineSettings["template"], "auto">;

/** The settings of this host; what the file does not say, or all if there is none, is as by default. */
export function readSettings(): Settings {
  checkWay("settings", SETTINGS_FILE);
  try {
    return parseSettings(readText(SETTINGS_FILE));
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return v.parse(settings, {});
    throw error;
  }
}

/** Settings of a text; an unknown field is wrong, for it would be a mistyped one. */
export function parseSettings(text: string, file = SETTINGS_FILE): Settings {
  const document = parseToml(text, file);
  const result = v.safeParse(settings, document);
  const unknown = unknownFields(document, ENTRIES).map((pointer) => problem(pointer, "unknown"));
  const wrong = result.success ? [] : result.issues.map(problemOf);
  if (!result.success || unknown.length > 0) throw problemsError([...unknown, ...wrong], file);
  const { kernel, modules } = result.output.machine;
  if (modules !== undefined && kernel === undefined)
    throw problemsError([problem("/machine/modules", "there is no /machine/kernel that they are for")], file);
  return result.output;
}

/** All fields that there are. */
const ENTRIES = { machine: machineEntries };
