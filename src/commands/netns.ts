import { HakoError } from "../base/errors";
import { defineCommand } from "../cli/command";
import { callerEnvironment, callerVariable } from "../linux/file/caller-environment";
import { callersSignalSteps } from "../linux/file/clean-start";
import { exists } from "../linux/file/file";
import { missingNamespaceHint, namespaceFile } from "../linux/network/named-namespace";
import { execProgram, lookUpProgram } from "../linux/process/execute";
import { enterNetworkNamespace } from "../linux/process/namespace";
import { callerOpenFiles } from "../linux/process/rlimit";

/** Loaded on first use. */
const rare = {
  get explainExecution() {
    return require("../explain/execution") as typeof import("../explain/execution");
  },
};

const exec = defineCommand({
  meta: { description: "run a command in a network namespace" },
  args: {
    path: {
      type: "positional",
      required: true,
      description: "file of the namespace, or its name of ip netns",
    },
  },
  examples: ["hako netns exec /run/netns/blue -- ip address", "hako netns exec blue -- ip address"],
  rest: "-- COMMAND [ARG...]",
  stopAtOperand: true,
  run({ args, rest }) {
    const argv = rest[0] === "--" ? rest.slice(1) : rest;
    const [command] = argv;
    if (args.path === "") throw HakoError.usage("missing network namespace path");
    if (command === undefined) throw HakoError.usage("missing COMMAND");
    const openFiles = callerOpenFiles();
    enterNetworkNamespace(fileOf(args.path));
    // This process becomes the command: its exit status and signals are the caller's without any help of ours.
    const path = lookUpProgram(command, callerVariable("PATH"));
    const errno = execProgram(path, argv, callerEnvironment(), { openFiles, last: callersSignalSteps() });
    const { executionError, lookAtProgram } = rare.explainExecution;
    throw executionError(path, errno, lookAtProgram(path));
  },
});

/** The namespace's file: a path, or a name of ip-netns(8). */
function fileOf(word: string): string {
  const path = exists(word) ? word : namespaceFile(word);
  if (exists(path)) return path;
  throw new HakoError({
    code: "system",
    message: `failed to open ${JSON.stringify(path)}: no such file or directory`,
    hint: missingNamespaceHint(word),
    path,
  });
}

export default defineCommand({ subCommands: { exec } });
