import { errnoNumber } from "../../base/errno";
import { HakoError } from "../../base/errors";
import { prepared } from "../../base/undo";
import { bytesOf } from "../call/bytes";
import { AF, AT, O, SOCK } from "../call/constants";
import { type Descriptor, descriptorName, descriptorNumber, Fd } from "../call/fd";
import { syscallOn, systemError, trySyscall } from "../call/syscall";
import { basename, dirname } from "./path-text";

const SOCKET_TYPES = { stream: 1, dgram: 2, seqpacket: 5 } as const;
/** sun_path is 108 bytes with its NUL. */
const MAX_SUN_PATH = 107;
const LONGEST_PAUSE_MS = 50;

export type SocketType = keyof typeof SOCKET_TYPES;
/** Two connected unix sockets, both close-on-exec; errors call them by `name`. */
export function socketPair(name: string, type: SocketType = "stream"): [Fd, Fd] {
  const pair = new Int32Array(2);
  syscallOn(name, "socketpair", AF.UNIX, SOCKET_TYPES[type] | SOCK.CLOEXEC, 0, pair);
  return [new Fd(pair[0] ?? -1, name), new Fd(pair[1] ?? -1, name)];
}

function unixSocket(path: string, type: SocketType, flags = 0): Fd {
  return new Fd(syscallOn(path, "socket", AF.UNIX, SOCKET_TYPES[type] | SOCK.CLOEXEC | flags, 0), path);
}

/**
 * Calls `use` with the socket's sockaddr_un. A path that is too long for it is reached through the opened directory,
 * so only its last component has a limit. "@NAME" is an abstract name, as everywhere (unix(7)).
 */
function withAddress(path: string, use: (sockaddr: Uint8Array) => number, call: string): void {
  if (path === "" || path.includes("\0")) {
    throw new HakoError({
      code: "config",
      message: `${JSON.stringify(path)} is not a path of a unix socket`,
    });
  }
  let short = path;
  let directory: Fd | undefined;
  const isAbstract = path.startsWith("@");
  if (!isAbstract && bytesOf(path).length > MAX_SUN_PATH) {
    const parent = dirname(path);
    directory = new Fd(syscallOn(parent, "openat", AT.FDCWD, parent, O.PATH | O.DIRECTORY | O.CLOEXEC, 0));
    short = `${directory.path}/${basename(path)}`;
  }
  try {
    const bytes = bytesOf(short);
    if (bytes.length > MAX_SUN_PATH) throw systemError(call, "ENAMETOOLONG", path);
    // an abstract name begins with a NUL and has none at its end
    const sockaddr = new Uint8Array(2 + bytes.length + (isAbstract ? 0 : 1));
    new DataView(sockaddr.buffer).setUint16(0, AF.UNIX, true);
    sockaddr.set(bytes, 2);
    if (isAbstract) sockaddr[2] = 0;
    const result = use(sockaddr);
    if (result < 0) throw systemError(call, -result, path);
  } finally {
    directory?.close();
  }
}

/** A unix socket at `path`, which must not exist yet; `mode` is narrowed by the umask. */
export function unixBind(path: string, mode: number, type: SocketType): Fd {
  return prepared(unixSocket(path, type), ({ number }) => {
    // Before bind the mode belongs to the socket's own inode, and bind makes the file with it: never a moment too open.
    syscallOn(path, "fchmod", number, mode);
    withAddress(path, (sockaddr) => trySyscall("bind", number, sockaddr, sockaddr.length), "bind");
  });
}

/** Makes a unix socket at a path, as `unixBind` does, and listens at it. */
export function unixListen(path: string, mode = 0o600, type: SocketType = "stream"): Fd {
  return prepared(unixBind(path, mode, type), ({ number }) => syscallOn(path, "listen", number, 128));
}

/** A unix socket that is connected to the one at `path`. */
export function unixConnect(path: string, type: SocketType = "stream"): Fd {
  return prepared(unixSocket(path, type), ({ number }) =>
    withAddress(path, (sockaddr) => trySyscall("connect", number, sockaddr, sockaddr.length), "connect"),
  );
}

/**
 * A non-blocking unix socket that is connected to the one at a path. A server whose queue of connections is full is asked
 * again for so many milliseconds.
 */
export function unixConnectWithin(path: string, milliseconds: number): Fd {
  const deadline = Date.now() + milliseconds;
  return prepared(unixSocket(path, "stream", SOCK.NONBLOCK), ({ number }) => {
    const connect = (sockaddr: Uint8Array): number => {
      for (let pause = 1; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
        const result = trySyscall("connect", number, sockaddr, sockaddr.length);
        if (-result !== errnoNumber("EAGAIN") || Date.now() > deadline) return result;
        Bun.sleepSync(pause);
      }
    };
    withAddress(path, connect, "connect");
  });
}

/** Waits for a connection and takes it. */
export function accept(listener: Descriptor, flags = 0): Fd {
  const name = descriptorName(listener);
  const all = SOCK.CLOEXEC | flags;
  return new Fd(syscallOn(name, "accept4", descriptorNumber(listener), null, null, all), name);
}
