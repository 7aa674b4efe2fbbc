import * as v from "valibot";
import { parseDuration } from "../base/duration";
import { parseSize } from "../base/size";
import { isText, object, optional, schemaWord, text, texts } from "../oci/schema";
import { told } from "../output/told";

/** A policy as a file has it (`policy.ts`). Those that have a name need no check. */
const memory = schemaWord(
  (value): value is string => isText(value) && (parseSize(value) ?? 0) > 0,
  () => "expected a size, as 512M",
  { type: "string" },
);
const time = schemaWord(
  (value): value is string => isText(value) && (/^\d+$/.test(value) || parseDuration(value) !== undefined),
  () => "expected a time, as 30s",
  { type: "string" },
);

/** A number, as such or as a text, for these are flags' values. */
function amount(pattern: RegExp, expected: string) {
  const isAmount = (value: unknown): value is string | number =>
    (typeof value === "number" || isText(value)) && pattern.test(String(value)) && Number(value) > 0;
  return schemaWord(isAmount, () => `expected ${expected}`, { type: ["string", "number"] });
}

const environmentText = schemaWord(
  (value): value is string => isText(value) && /^[^=]/.test(value),
  () => "expected NAME or NAME=VALUE",
  { type: "string", pattern: "^[^=]" },
);

const listEntries = {
  hide: told(texts, "Paths that are empty for the command, wherever it would see them; also patterns."),
  read: told(texts, "Paths in what is hidden that are seen, and only read."),
  write: told(texts, "Paths that are really written."),
  protect: told(texts, "Paths that are only read, though what they are in may be written; also patterns."),
  volume: told(texts, "Bind mounts: SOURCE:TARGET[:ro]."),
  tmpfs: told(texts, "File systems in memory: TARGET[:OPTION,...]."),
  forward: told(texts, "Ports of the host's network at the command's localhost: [PORT:][HOST:]PORT."),
  publish: told(texts, "Ports of the host for those of the command's localhost: [IP:]PORT[:PORT]."),
  "inject-header": told(
    texts,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: as the caller writes it
    "Headers that are put into requests of HTTP and HTTPS: NAME:VALUE@[https://]HOST[:PORT]; ${NAME} in VALUE is a variable of the caller's.",
  ),
  env: told(optional(v.array(environmentText)), "Variables: NAME=VALUE, or NAME for the caller's value."),
};
export type ListName = keyof typeof listEntries;

const policyEntries = {
  extends: told(optional(text), "The policy that it adds to: default, build, agent, or a file beside it."),
  ...listEntries,
  network: told(
    optional(v.union([text, v.array(text)], "expected a text, or a list of texts")),
    '"none", "host", or a list of rules, as "allow:example.com:443".',
  ),
  memory: told(optional(memory), "Memory limit, as 64M or 1G."),
  cpus: told(optional(amount(/^\d+(\.\d+)?$/, "a number above 0")), "Processors' time, as 0.5."),
  pids: told(optional(amount(/^\d{1,9}$/, "a whole number above 0")), "Limit of processes and threads."),
  timeout: told(optional(time), "After which it is killed, as 30s or 5m."),
};

export const policySchema = object(policyEntries);
export const POLICY_FIELDS = Object.keys(policyEntries);
