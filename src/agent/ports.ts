import { HakoError } from "../base/errors";
import { O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { exists, listNames, readText } from "../linux/file/file";
import { openAt } from "../linux/file/path";

const PORTS = "/sys/class/virtio-ports";
/** How long the ports may take to appear: their names come over a queue of the device (virtio 1.2, 5.3.6). */
const WAIT_MS = 5000;
const PAUSE_MS = 5;

/** Opens a port of the machine by its name; it never waits. */
export function openPort(wanted: string): Fd {
  const deadline = performance.now() + WAIT_MS;
  for (;;) {
    const name = portNames().find((each) => readText(`${PORTS}/${each}/name`).trim() === wanted);
    if (name !== undefined && exists(`/dev/${name}`))
      return openAt(undefined, `/dev/${name}`, O.RDWR | O.NONBLOCK);
    if (performance.now() > deadline)
      throw new HakoError({ code: "unsupported", message: `this machine has no port ${wanted}` });
    Bun.sleepSync(PAUSE_MS);
  }
}

/** Ports that have a name already. */
function portNames(): string[] {
  return exists(PORTS) ? listNames(PORTS).filter((each) => exists(`${PORTS}/${each}/name`)) : [];
}
