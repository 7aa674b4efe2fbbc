import { HakoError } from "../../base/errors";
import { actAs, actHere } from "../../linux/call/actor";
import { Fd } from "../../linux/call/fd";
import { recvFds, sendFds } from "../../linux/file/descriptor-passing";
import type { RemoteProcess } from "../../linux/remote/remote-process";

/** A descriptor as another process has it, which was born with it: by the same number. */
export function inherited(remote: RemoteProcess, { number, name }: Fd): Fd {
  return actAs(remote, () => new Fd(number, name));
}

/** A pair of sockets by which descriptors go to a container's process that is there already, and come from it. */
export class DescriptorWay implements Disposable {
  /** The end that the process was born with. */
  readonly theirs: Fd;

  constructor(
    private readonly remote: RemoteProcess,
    readonly ours: Fd,
    theirs: Fd,
  ) {
    this.theirs = inherited(remote, theirs);
  }

  /** Gives the process descriptors of ours; the result is those that it has. */
  give(fds: readonly Fd[]): Fd[] {
    if (fds.length === 0) return [];
    sendFds(this.ours, fds);
    return this.remote.act(() => recvFds(this.theirs, fds.length));
  }

  /** Gives the process descriptors of ours that are known by their places in a list of config.json. */
  giveByPlace(fds: ReadonlyMap<number, Fd>): Map<number, Fd> {
    const theirs = this.give([...fds.values()]);
    return new Map([...fds.keys()].map((place, index): [number, Fd] => [place, descriptorAt(theirs, index)]));
  }

  /** The number of a copy, for us, of a descriptor that the process has by this number. */
  take(number: number): number {
    this.remote.act(() => sendFds(this.theirs, [number]));
    return actHere(() => descriptorAt(recvFds(this.ours, 1), 0).release());
  }

  [Symbol.dispose](): void {
    this.ours.close();
  }
}

export function descriptorAt(fds: readonly Fd[], index: number): Fd {
  const fd = fds[index];
  if (fd === undefined) throw new HakoError({ code: "system", message: "a descriptor did not come over" });
  return fd;
}
