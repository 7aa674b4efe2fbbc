import { during } from "../../base/errors";
import { bytesOf } from "../../linux/call/bytes";
import type { Fd } from "../../linux/call/fd";
import { sendFd } from "../../linux/file/descriptor-passing";
import { writeAllWaiting } from "../../linux/file/stream";
import { unixConnect } from "../../linux/file/unix-socket";
import type { Config } from "../../oci/config";
import type { State } from "../../oci/state";

/** What sendFd sends along with a descriptor; the rest follows. */
const FIRST_PART = 4000;

/** Sends a filter's listener to the agent at /linux/seccomp/listenerPath (config-linux.md "The Container Process State"). */
export function passListener(fd: Fd, config: Config, pid: number, state: State): void {
  const { listenerPath = "", listenerMetadata } = config.linux?.seccomp ?? {};
  const metadata = listenerMetadata === undefined ? {} : { metadata: listenerMetadata };
  const text = JSON.stringify({ ociVersion: state.ociVersion, fds: ["seccompFd"], pid, ...metadata, state });
  const bytes = bytesOf(text);
  during(`config /linux/seccomp/listenerPath: ${listenerPath}`, () => {
    using agent = unixConnect(listenerPath);
    sendFd(agent, fd, bytes.subarray(0, FIRST_PART));
    writeAllWaiting(agent, bytes.subarray(FIRST_PART));
  });
}
