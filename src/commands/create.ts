import { defineCommand } from "../cli/command";
import { createContainer } from "../container/create";
import { connectConsoleSocket } from "../container/io/console-socket";
import { CREATE_FLAGS, createOptions } from "./flags/container";
import { NEW_CONTAINER } from "./flags/operands";

export default defineCommand({
  meta: { name: "create", description: "make a container from a bundle; start runs its program" },
  args: { container: NEW_CONTAINER, ...CREATE_FLAGS },
  // as with runc, also for a program that can't be executed
  failure: 1,
  examples: ["hako create --bundle /bundles/web web"],
  run({ values, globals }) {
    const options = createOptions(globals, values.container, values);
    const terminal = options.bundle.config.process?.terminal === true;
    using consoleSocket = connectConsoleSocket(terminal, values["console-socket"], true);
    createContainer({ ...options, consoleSocket });
    return 0;
  },
});
