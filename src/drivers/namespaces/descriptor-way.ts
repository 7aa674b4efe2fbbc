import { HakoError } from "../../base/errors";
import { actAs, actHere } from "../../linux/call/actor";
import { Fd } from "../../linux/call/fd";
import { recvFds, sendFds } from "../../linux/file/descriptor-passing";
import type { RemoteProcess } from "../../linux/remote/remote-process";

/** The descriptor of another process that was born with a copy of this one, by the same number. */
export function inherited(remote: RemoteProcess, { number, name }: Fd): Fd {
  return actAs(remote, () => new Fd(number, name));
}

/** Passes descriptors between this process and a container's process, by a pair of sockets. */
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

  /** Copies descriptors of this process to the other one; returns the copies. */
  give(fds: readonly Fd[]): Fd[] {
    if (fds.length === 0) return [];
    sendFds(this.ours, fds);
    return this.remote.act(() => recvFds(this.theirs, fds.length));
  }

  /** `give` for descriptors by their places in a list of config.json. */
  giveByPlace(fds: ReadonlyMap<number, Fd>): Map<number, Fd> {
    const theirs = this.give(Array.from(fds.values()));
    return new Map(
      Array.from(fds.keys(), (place, index): [number, Fd] => [place, descriptorAt(theirs, index)]),
    );
  }

  /** Copies a descriptor of the other process to this one; takes and returns numbers. */
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
