import { errnoHint } from "../../base/errno-hints";
import { during, HakoError } from "../../base/errors";
import type { Fd } from "../../linux/call/fd";
import { unixConnect } from "../../linux/file/unix-socket";

/** Connects to a console socket, if one is named, and checks that config.json and the caller agree about a terminal. */
export function connectConsoleSocket(
  terminal: boolean,
  path: string | undefined,
  detach: boolean,
): Fd | undefined {
  if (path !== undefined && !terminal) {
    throw new HakoError({
      code: "usage",
      message: "--console-socket: the container has no terminal",
      hint: "config.json: /process/terminal",
    });
  }
  if (path !== undefined) {
    return during(
      "--console-socket",
      () => unixConnect(path),
      ({ errno }) => ({ hint: errnoHint("connect to a console socket", errno) }),
    );
  }
  const nobodyHoldsTheMaster = detach && terminal;
  if (nobodyHoldsTheMaster) {
    throw new HakoError({
      code: "usage",
      message:
        "config /process/terminal: a container that is not run in the foreground needs --console-socket",
    });
  }
  return undefined;
}
