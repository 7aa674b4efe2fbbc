import { HakoError } from "../base/errors";
import { textOf } from "../linux/call/bytes";

/** A unix socket that a server listens on. */
export interface Address {
  /** "@NAME" is in the abstract namespace (unix(7)). */
  socket: string;
  /** systemd listens here itself, with no bus between: no Hello is sent, and no names are known (dbus.socket(5)). */
  peer: boolean;
}

/** The private socket of a systemd, below /run or a user's runtime directory. */
const PRIVATE = "systemd/private";

function unescapeValue(value: string): string {
  return value.replaceAll(/(?:%[0-9a-fA-F]{2})+/g, (bytes) =>
    textOf(Uint8Array.from(bytes.slice(1).split("%"), (hex) => Number.parseInt(hex, 16))),
  );
}

/** The unix sockets of a server address: "unix:path=/run/dbus/system_bus_socket;unix:abstract=x,guid=…". */
export function parseAddress(text: string): Address[] {
  const found: Address[] = [];
  for (const part of text.split(";")) {
    if (!part.startsWith("unix:")) continue;
    const pairs = part
      .slice("unix:".length)
      .split(",")
      .map((pair): [string, string] => {
        const equals = pair.indexOf("=");
        return [pair.slice(0, equals), unescapeValue(pair.slice(equals + 1))];
      });
    const { path, abstract } = Object.fromEntries(pairs);
    if (path !== undefined) found.push({ socket: path, peer: path.endsWith(`/${PRIVATE}`) });
    else if (abstract !== undefined) found.push({ socket: `@${abstract}`, peer: false });
  }
  if (found.length > 0) return found;
  throw new HakoError({
    code: "unsupported",
    message: `D-Bus address ${JSON.stringify(text)} names no unix socket`,
    hint: "as unix:path=/run/dbus/system_bus_socket",
  });
}

/** Which systemd: the host's, or the one of a user's session. */
export type Scope = "system" | "user";

/** The value of a variable. */
type Environment = (name: string) => string | undefined;

/**
 * The addresses at which a systemd may be reached, in the order to try them: the one that the environment names, systemd's private socket,
 * the bus. The private socket comes before the bus, as in systemctl: it exists without a dbus-daemon, and no other client slows it down.
 */
export function addressesOf(scope: Scope, environment: Environment): Address[] {
  const named =
    scope === "system" ? environment("DBUS_SYSTEM_BUS_ADDRESS") : environment("DBUS_SESSION_BUS_ADDRESS");
  const runtime = scope === "system" ? "/run" : environment("XDG_RUNTIME_DIR");
  const bus = scope === "system" ? "dbus/system_bus_socket" : "bus";
  return [
    ...(named === undefined || named === "" ? [] : parseAddress(named)),
    ...(runtime === undefined || runtime === ""
      ? []
      : [
          { socket: `${runtime}/${PRIVATE}`, peer: true },
          { socket: `${runtime}/${bus}`, peer: false },
        ]),
  ];
}
