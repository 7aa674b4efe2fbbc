import { defineCommand } from "../cli/command";
import { containerId, sandboxId } from "../oci/id";
import { print, printJson } from "../output/print";
import { printTable } from "../output/table";
import { MappingStore } from "../state/mapping";
import { CONTAINER, FORMAT_FLAGS, wantsJson } from "./flags/common";

const add = defineCommand({
  meta: { description: "claim a container's id for a sandbox; fails if the id is mapped already" },
  args: {
    container: CONTAINER,
    sandbox: { type: "positional", required: true, description: "id of the sandbox", completes: [] },
  },
  examples: ["hako mapping add web pod1"],
  run({ args, data: { globals } }) {
    new MappingStore(globals.root).add(containerId(args.container), sandboxId(args.sandbox));
  },
});

const get = defineCommand({
  meta: { description: "print the sandbox of a container; prints nothing and exits 1 if there is none" },
  args: { container: CONTAINER },
  examples: ["hako mapping get web"],
  run({ args, data: { globals } }) {
    const sandbox = new MappingStore(globals.root).get(containerId(args.container));
    if (sandbox === undefined) return 1;
    print(`${sandbox}\n`);
  },
});

const remove = defineCommand({
  meta: { description: "remove a container's mapping, a broken one too; missing is no error" },
  args: { container: CONTAINER },
  examples: ["hako mapping delete web"],
  run({ args, data: { globals } }) {
    new MappingStore(globals.root).delete(containerId(args.container));
  },
});

const list = defineCommand({
  meta: { description: "list containers and their sandboxes" },
  args: {
    ...FORMAT_FLAGS,
  },
  examples: ["hako mapping list --format json"],
  run({ args, data: { globals } }) {
    const mappings = new MappingStore(globals.root).list();
    if (wantsJson(args)) printJson(mappings);
    else
      printTable(
        ["CONTAINER", "SANDBOX"],
        mappings.map(({ container, sandbox }) => [container, sandbox]),
      );
  },
});

export default defineCommand({ subCommands: { add, get, delete: remove, list } });
