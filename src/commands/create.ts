import { defineCommand } from "../cli/command";
import { createContainer } from "../container/create";
import { connectConsoleSocket } from "../container/io/console-socket";
import { CREATE_FLAGS, createOptions } from "./flags/container";
import { NEW_CONTAINER } from "./flags/operands";

export default defineCommand({
  args: { container: NEW_CONTAINER, ...CREATE_FLAGS },
  // as with runc, also for a program that can't be executed
  failure: 1,
  examples: ["hako create --bundle /bundles/web web"],
  run({ args, data: { globals } }) {
    const options = createOptions(globals, args.container, args);
    const terminal = options.bundle.config.process?.terminal === true;
    using consoleSocket = connectConsoleSocket(terminal, args["console-socket"], true);
    createContainer({ ...options, consoleSocket });
  },
});
