import { type CommandGroup, defineCommand } from "../cli/command";
import { containerId, sandboxId } from "../oci/id";
import { print, printJson, printTable } from "../output/print";
import { MappingStore } from "../state/mapping";
import { CONTAINER, FORMAT_FLAGS, wantsJson } from "./flags/operands";

const add = defineCommand({
  meta: {
    name: "add",
    description: "claim a container's id for a sandbox; fails if the id is mapped already",
  },
  args: {
    container: CONTAINER,
    sandbox: { type: "positional", required: true, description: "id of the sandbox", completes: [] },
  },
  examples: ["hako mapping add web pod1"],
  run({ values, globals }) {
    new MappingStore(globals.root).add(containerId(values.container), sandboxId(values.sandbox));
    return 0;
  },
});

const get = defineCommand({
  meta: {
    name: "get",
    description: "print the sandbox of a container; prints nothing and exits 1 if there is none",
  },
  args: { container: CONTAINER },
  examples: ["hako mapping get web"],
  run({ values, globals }) {
    const sandbox = new MappingStore(globals.root).get(containerId(values.container));
    if (sandbox === undefined) return 1;
    print(`${sandbox}\n`);
    return 0;
  },
});

const remove = defineCommand({
  meta: {
    name: "delete",
    description: "remove a container's mapping, a broken one too; missing is no error",
  },
  args: { container: CONTAINER },
  examples: ["hako mapping delete web"],
  run({ values, globals }) {
    new MappingStore(globals.root).delete(containerId(values.container));
    return 0;
  },
});

const list = defineCommand({
  meta: { name: "list", description: "list containers and their sandboxes" },
  args: {
    ...FORMAT_FLAGS,
  },
  examples: ["hako mapping list --format json"],
  run({ values, globals }) {
    const mappings = new MappingStore(globals.root).list();
    if (wantsJson(values)) printJson(mappings);
    else
      printTable(
        ["CONTAINER", "SANDBOX"],
        mappings.map(({ container, sandbox }) => [container, sandbox]),
      );
    return 0;
  },
});

const group: CommandGroup = {
  meta: { name: "mapping", description: "which container is in which sandbox" },
  commands: { add, get, delete: remove, list },
};
export default group;
