import { sendFd, unixConnect } from "../../linux/file/socket";
import { openPtyMaster, setOnlcr } from "../../linux/terminal/pty";

/**
 * The path of the terminal for a container: `console` as it is, or a new pseudoterminal whose master goes to whoever
 * listens on `socket`, or "" when there is neither.
 */
export function setupConsole(console: string, socket: string): string {
  if (console !== "") return console;
  if (socket === "") return "";
  // connected first: a wrong socket costs no pseudoterminal
  using connection = unixConnect(socket);
  const { master, path } = openPtyMaster();
  using owned = master;
  // "\n" stays "\n" on its way to the reader, as with kata-runtime: whoever shows the output adds the "\r"
  setOnlcr(owned, false);
  sendFd(connection, owned, "/dev/ptmx");
  return path;
}
