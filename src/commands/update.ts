import { defineCommand } from "../cli/command";
import { updateContainer } from "../container/update";
import { CPUS_FLAG, changesOf, LIMIT_FLAGS, SCHEMA_FLAGS } from "../container/update-values";
import { containerId } from "../oci/id";
import { LIVING_CONTAINER } from "./flags/common";

type LimitFlag = keyof typeof LIMIT_FLAGS;
interface TextFlag {
  type: "string";
  alias?: string;
  valueHint: string;
  description: string;
}

/** Other names of flags, which hako run and docker have. */
const ALIASES: Partial<Record<LimitFlag, string>> = { memory: "m", "pids-limit": "pids" };

const flags = Object.fromEntries(
  Object.entries(LIMIT_FLAGS).map(([name, [, , form, description]]): [string, TextFlag] => [
    name,
    {
      type: "string",
      ...aliasOf(name as LimitFlag),
      valueHint: form === "text" ? "LIST" : form === "size" ? "SIZE" : "N",
      description,
    },
  ]),
) as Record<LimitFlag, TextFlag>;

const schemaFlags = Object.fromEntries(
  Object.entries(SCHEMA_FLAGS).map(([name, description]): [string, TextFlag] => [
    name,
    { type: "string", valueHint: "SCHEMA", description },
  ]),
) as Record<keyof typeof SCHEMA_FLAGS, TextFlag>;

function aliasOf(name: LimitFlag): { alias?: string } {
  const alias = ALIASES[name];
  return alias === undefined ? {} : { alias };
}

export default defineCommand({
  args: {
    container: LIVING_CONTAINER,
    resources: {
      type: "string",
      alias: "r",
      valueHint: "FILE|-",
      description: "JSON as /linux/resources of config.json, in place of the other flags",
    },
    cpus: { type: "string", valueHint: "N", description: CPUS_FLAG },
    ...flags,
    ...schemaFlags,
  },
  examples: [
    "hako update --memory 128M --pids-limit 50 web",
    'echo \'{"cpu":{"shares":512}}\' | hako update -r - web',
  ],
  run({ args, data: { globals } }) {
    const changes = changesOf(args.resources, args);
    updateContainer(globals.root, containerId(args.container), changes);
  },
});
