import { concatenated } from "../linux/call/bytes";
import type { Fd } from "../linux/call/fd";
import type { Changes } from "../linux/file/epoll";
import type { InetAddress } from "../linux/network/inet-address";
import { Dial } from "./dialer";
import { NAME_PORT } from "./name-server";
import { type Answered, firstMessage, tryRead, trySend } from "./name-stream";

/** A query that a name server outside is asked by TCP, by a connection of its own: so that nothing goes there but what was looked at. */
export class OutsideQuestion implements Disposable {
  readonly #dial: Dial | undefined;
  #socket: Fd | undefined;
  #bytes: Uint8Array = new Uint8Array(0);
  #over = false;

  /** `answered` is called once, unless this is disposed of before. */
  constructor(
    private readonly changes: Changes,
    servers: readonly InetAddress[],
    query: Uint8Array,
    private readonly answered: Answered,
  ) {
    this.#dial = new Dial(changes, { addresses: servers, port: NAME_PORT }, (dialled) => {
      if ("failure" in dialled) this.#end(undefined);
      else this.#ask(dialled.socket, query);
    });
  }

  #ask(socket: Fd, query: Uint8Array): void {
    this.#socket = socket;
    this.changes.watch(socket, () => this.#read(socket));
    if (!trySend(socket, query)) this.#end(undefined);
  }

  #read(socket: Fd): void {
    while (!this.#over) {
      const came = tryRead(socket);
      if (came === "nothing yet") return;
      if (came !== "end") this.#bytes = concatenated([this.#bytes, came]);
      const answer = firstMessage(this.#bytes);
      if (came === "end" || answer !== undefined) this.#end(answer);
    }
  }

  #end(answer: Uint8Array | undefined): void {
    if (this.#over) return;
    this[Symbol.dispose]();
    this.answered(answer);
  }

  [Symbol.dispose](): void {
    this.#over = true;
    this.#dial?.[Symbol.dispose]();
    if (this.#socket !== undefined) this.changes.close(this.#socket);
    this.#socket = undefined;
  }
}
