import { HakoError } from "../errors";
import type { Fd } from "../linux/fd";
import { unixConnect } from "../linux/socket";
import { noNeedForOutput } from "./output";

/** Connects to a console socket, if one is named, and checks that config.json and the caller agree about a terminal. */
export function consoleFor(terminal: boolean, path: string | undefined, detach: boolean): Fd | undefined {
  if (path !== undefined && !terminal) {
    throw new HakoError({
      code: "usage",
      message: "--console-socket: the container has no terminal",
      hint: "config.json: /process/terminal",
    });
  }
  if (path !== undefined) return unixConnect(path);
  if (noNeedForOutput(detach, terminal)) {
    throw new HakoError({
      code: "usage",
      message:
        "config /process/terminal: a container that is not run in the foreground needs --console-socket",
    });
  }
  return undefined;
}
