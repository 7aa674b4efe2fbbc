import { defineCommand } from "../cli/command";
import { checkedBundle } from "../container/bundle";
import { createContainer } from "../container/create";
import { connectConsoleSocket } from "../container/io/console-socket";
import { inheritedDescriptors } from "../container/io/inherited-descriptors";
import { callerVariable } from "../linux/file/caller-environment";
import { NEW_CONTAINER } from "./flags/common";
import { CREATE_FLAGS, createOptions } from "./flags/create";

export default defineCommand({
  args: { container: NEW_CONTAINER, ...CREATE_FLAGS },
  // as with runc, also for a program that can't be executed
  failure: () => 1,
  examples: ["hako create --bundle /bundles/web web"],
  run({ args, data: { globals } }) {
    // first of all: a descriptor that the caller has not opened may be one of ours later
    const { environment, preserveFds } = inheritedDescriptors(args["preserve-fds"], callerVariable);
    const bundle = checkedBundle(args.bundle, environment, globals.cgroupManager, args.config);
    const options = createOptions(globals, args.container, args, preserveFds);
    const terminal = bundle.config.process?.terminal === true;
    using consoleSocket = connectConsoleSocket(terminal, args["console-socket"], true);
    createContainer({ ...options, bundle, consoleSocket }, false);
  },
});
