import { type CommandGroup, defineCommand } from "../cli/command";
import { sandboxId } from "../oci/id";
import { print, printJson, printTable } from "../output/print";
import { FORMAT_FLAGS, wantsJson } from "./flags/operands";
import { binarySize, seconds } from "./flags/quantities";

const list = defineCommand({
  meta: { name: "list", description: "list sandboxes and how many containers are in each" },
  args: {
    ...FORMAT_FLAGS,
    quiet: { type: "boolean", alias: "q", description: "print ids only" },
  },
  examples: ["hako sandbox list", "hako sandbox list --format json"],
  async run({ values, globals }) {
    const { listSandboxes } = await import("../container/sandboxes");
    const sandboxes = listSandboxes(globals.root);
    if (values.quiet) print(sandboxes.map(({ id }) => `${id}\n`).join(""));
    else if (wantsJson(values)) printJson(sandboxes);
    else {
      printTable(
        ["SANDBOX", "STATUS", "CONTAINERS", "RUNNING"],
        sandboxes.map(({ id, status, containers }) => [
          id,
          status,
          String(containers.length),
          String(containers.filter((each) => each.status === "running").length),
        ]),
      );
    }
    return 0;
  },
});

const show = defineCommand({
  meta: { name: "show", description: "print a sandbox's containers and what they use together" },
  args: {
    sandbox: { type: "positional", required: true, valueHint: "SANDBOX", description: "id of the sandbox" },
    ...FORMAT_FLAGS,
  },
  examples: ["hako sandbox show pod1", "hako sandbox show pod1 --format json"],
  async run({ values, globals }) {
    const { showSandbox } = await import("../container/sandboxes");
    const sandbox = showSandbox(globals.root, sandboxId(values.sandbox));
    if (wantsJson(values)) {
      printJson(sandbox);
      return 0;
    }
    printTable(
      ["CONTAINER", "TYPE", "STATUS", "PID", "CGROUP"],
      sandbox.containers.map(({ id, type, status, pid, cgroup }) => [
        id,
        type ?? "-",
        status,
        String(pid),
        cgroup ?? "-",
      ]),
    );
    const { memory, cpu, processes } = sandbox.use;
    print("\n");
    printTable(
      ["RESOURCE", "USE"],
      [
        ["memory", binarySize(memory)],
        ["cpu time", seconds(cpu)],
        ["processes", String(processes)],
      ],
    );
    return 0;
  },
});

const group: CommandGroup = {
  meta: { name: "sandbox", description: "pods and their containers" },
  commands: { list, show },
};
export default group;
