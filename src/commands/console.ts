import { defineCommand } from "../cli/command";
import type { Fd } from "../linux/call/fd";
import { recvFd, sendFd } from "../linux/file/descriptor-passing";
import { removeFile } from "../linux/file/file";
import { waitFor } from "../linux/file/poll";
import { accept, unixConnect, unixListen } from "../linux/file/unix-socket";
import { isTerminal, openPtyMaster, setOnlcr } from "../linux/terminal/pty";
import { onFatalSignal, relay } from "../linux/terminal/relay";
import { print, UNREAD } from "../output/print";

/** Makes a pseudoterminal for a container, sends its master to whoever listens on `socket`, and returns its path. */
function openConsole(socket: string): string {
  // connected first: a wrong socket costs no pseudoterminal
  using connection = unixConnect(socket);
  const { master, path } = openPtyMaster();
  using owned = master;
  // "\n" stays "\n" on its way to the reader, as with kata-runtime: whoever shows the output adds the "\r"
  setOnlcr(owned, false);
  sendFd(connection, owned, "/dev/ptmx");
  return path;
}

const open = defineCommand({
  meta: { description: "make a terminal, send its master to a socket, print its path" },
  args: {
    console: {
      type: "string",
      valueHint: "PATH",
      description: "a terminal that exists: its path is printed, nothing is made",
    },
    "console-socket": {
      type: "string",
      valueHint: "SOCK",
      description: "unix socket that receives the terminal's master",
    },
  },
  examples: ["hako console open --console-socket /run/tty.sock"],
  run({ args }) {
    const { console, "console-socket": socket } = args;
    const path = console ?? (socket === undefined ? undefined : openConsole(socket));
    if (path !== undefined) print(`${path}\n`);
  },
});

/** Waits until a socket is readable; signals are handled between the short waits. */
async function readable(socket: Fd): Promise<void> {
  while (!waitFor(socket, "read", 100)) await new Promise((done) => setTimeout(done, 0));
}

const recv = defineCommand({
  meta: { description: "receive one terminal on a unix socket and connect it to this one" },
  args: { socket: { type: "positional", required: true, description: "path of the socket to make" } },
  examples: ["hako console recv /run/tty.sock"],
  async run({ args }) {
    let made = false;
    const remove = () => {
      if (made) removeFile(args.socket);
    };
    // set before the socket is made: no signal may leave it behind
    const forget = onFatalSignal(remove);
    try {
      using listener = unixListen(args.socket);
      made = true;
      await readable(listener);
      using connection = accept(listener);
      remove();
      // whoever has connected may say nothing
      await readable(connection);
      using master = recvFd(connection).fd;
      // relayed to a terminal that is raw meanwhile: nobody else would add the "\r"
      if (isTerminal(0)) setOnlcr(master, true);
      return (await relay(master)) ? 0 : UNREAD;
    } finally {
      remove();
      forget();
    }
  },
});

export default defineCommand({ subCommands: { open, recv } });
