import { Transform, type TransformCallback } from "node:stream";
import { connect, type SecureContext, TLSSocket } from "node:tls";
import type { Fd } from "../linux/call/fd";
import type { Changes } from "../linux/file/epoll";
import { UNANSWERED_MS } from "../linux/network/socket-relay";
import type { Why } from "./attempts";
import { cutOffBy, type RequestHeads } from "./request-heads";
import type { Credentials } from "./tls/authority";
import { SocketStream } from "./tls/socket-stream";

/** What both sides are offered (RFC 7301): headers of other versions can't be changed here. */
const ALPNProtocols = ["http/1.1"];
/** Errors of one who writes to somebody that has gone. */
const GONE: ReadonlySet<Why> = new Set<Why>(["ECONNRESET", "EPIPE"]);
/** What BoringSSL says of programs that know another version alone (RFC 7301 3.2), and of hosts that want a certificate (RFC 8446 6.2). */
const CAUSES: Readonly<Record<string, Why>> = {
  ERR_SSL_NO_APPLICATION_PROTOCOL: "HTTP/2",
  ERR_SSL_TLSV1_ALERT_CERTIFICATE_REQUIRED: "client certificate",
};
/** How many bytes may be on their way from one side to the other. */
const MOST_HELD = 262_144;
/** How long it may take until both sides have agreed, in milliseconds. */
const PATIENCE_MS = 30_000;

/** A connection of TLS that is opened on its way. */
export interface OpenedConnection {
  /** Of the host that was called. */
  host: string;
  /** What hako shows the program as that host's. */
  credentials: Credentials;
  /** By what the host's own certificate is checked. */
  roots: SecureContext;
  requests: RequestHeads;
}

/** What becomes of one; `why` where it didn't end in order, `reached` whether the host was the right one. */
export type OpenedEnd = (sent: number, received: number, why: Why | undefined, reached: boolean) => void;

/**
 * A connection of two sockets, TLS on both, whose first one's requests get headers. The host's certificate is checked first: the program gets an
 * answer only of the right one. Whatever the program sends, nothing but clear requests for that host leaves, and what belongs to a websocket that the
 * host has said is one.
 */
export class InjectingTlsRelay implements Disposable {
  readonly #streams: readonly [program: SocketStream, host: SocketStream];
  readonly #sides = new Map<SocketStream, TLSSocket>();
  readonly #begun = performance.now();
  readonly #cancelTimeout: () => void;
  #isReached = false;
  /** Both sides have agreed with hako on their keys. */
  #isAgreed = false;
  /** The host's end came without a word of TLS's. */
  #isCutOff = false;
  /** Has requests go on that wait for the host's answer. */
  #goOn: TransformCallback | undefined;
  #over = false;

  constructor(
    private readonly changes: Changes,
    engineTurn: () => void,
    [taken, other]: readonly [taken: Fd, other: Fd],
    private readonly connection: OpenedConnection,
    private readonly ended: OpenedEnd,
  ) {
    // later: TLS must not be given more while it writes
    const readProgram = () => program.readOn();
    const readHost = () => host.readOn();
    const program = new SocketStream(changes, taken, engineTurn, {
      isFull: () => this.#isFull(program, host),
      wrote: () => {
        changes.later(readHost);
        this.#cutOffWhole();
      },
    });
    const host = new SocketStream(changes, other, engineTurn, {
      isFull: () => this.#isFull(host, program),
      wrote: () => changes.later(readProgram),
    });
    this.#streams = [program, host];
    for (const stream of this.#streams) this.#watch(stream);
    const atEarlyEnd = () => {
      // TLS would go on waiting
      if (!this.#isAgreed) this.#end("ECONNRESET");
    };
    for (const stream of this.#streams) stream.on("end", this.#guarded(atEarlyEnd));
    // before TLS hears of it: it has had all that came
    host.on("end", () => {
      const side = this.#sides.get(host);
      this.#isCutOff = side !== undefined && !hasEnded(side);
    });
    this.#cancelTimeout = changes.after(PATIENCE_MS, () => this.#end("ETIMEDOUT"));
    this.#callHost();
    engineTurn();
  }

  /** Whether the program has said something that the host doesn't have yet, or may still say something. */
  get isSending(): boolean {
    const [program, host] = this.#streams.map((stream) => this.#sides.get(stream));
    if (!this.#isAgreed || program === undefined || host === undefined)
      return performance.now() < this.#begun + UNANSWERED_MS;
    return !hasEnded(program) || program.readableLength > 0 || !host.writableFinished;
  }

  /** Whether enough is on its way from one stream to the other. */
  #isFull(from: SocketStream, to: SocketStream): boolean {
    const [read, written] = [this.#sides.get(from), this.#sides.get(to)];
    const held = (read?.readableLength ?? 0) + (written?.writableLength ?? 0) + to.writableLength;
    return held > MOST_HELD;
  }

  #callHost(): void {
    const { host, roots } = this.connection;
    const [, socket] = this.#streams;
    const own = { socket, servername: host, secureContext: roots, ALPNProtocols };
    const side = connect({ ...own, rejectUnauthorized: true });
    this.#sides.set(socket, side);
    this.#watch(side);
    side.on(
      "secureConnect",
      this.#guarded(() => {
        if (!side.authorized) this.#end(codeOf(side.authorizationError));
        else if (!this.#over) this.#answerProgram(side);
      }),
    );
  }

  #answerProgram(host: TLSSocket): void {
    this.#isReached = true;
    const { certificate: cert, key } = this.connection.credentials;
    const [socket] = this.#streams;
    const program = new TLSSocket(socket, { isServer: true, cert, key, ALPNProtocols });
    this.#sides.set(socket, program);
    this.#watch(program);
    program.on(
      "secure",
      this.#guarded(() => {
        // false where the program has said none
        const said: unknown = Reflect.get(program, "servername");
        if (typeof said === "string" && said.toLowerCase() !== this.connection.host) {
          this.#end("another host");
          return;
        }
        this.#cancelTimeout();
        this.#isAgreed = true;
        program.pipe(this.#withHeaders()).pipe(host);
        host.on("data", (bytes: Uint8Array) => this.#answered(bytes));
        host.on("end", () => this.#answered(new Uint8Array(0)));
        host.pipe(program, { end: false });
        host.on("end", () => (this.#isCutOff ? this.#cutOffWhole() : program.end()));
      }),
    );
  }

  /** Ends what the program gets as the host has, without a word of TLS's (RFC 8446 6.1): what was cut off must not look whole. */
  #cutOffWhole(): void {
    const [stream, host] = this.#streams;
    const hasAll = this.#sides.get(host)?.readableEnded && this.#sides.get(stream)?.writableLength === 0;
    if (this.#isCutOff && hasAll) stream.end();
  }

  #withHeaders(): Transform {
    const { requests } = this.connection;
    const transform: Transform = new Transform({
      transform: (bytes: Uint8Array, _, done) => {
        const changed = this.#checked(() => requests.push(bytes));
        if (changed === undefined) return;
        if (!requests.isHolding) done(null, changed);
        else {
          transform.push(changed);
          this.#goOn = done;
        }
      },
    });
    return transform;
  }

  /** Takes what the host says, before the program gets it; none are the end. */
  #answered(bytes: Uint8Array): void {
    const freed = this.#checked(() => this.connection.requests.answered(bytes));
    const goOn = this.#goOn;
    if (freed === undefined || goOn === undefined) return;
    this.#goOn = undefined;
    goOn(null, freed);
  }

  /** What is no clear request can't be given a header, and is not passed on without one: undefined where it throws. */
  #checked<T>(call: () => T): T | undefined {
    try {
      return call();
    } catch (error) {
      this.#guarded(() => this.#end(cutOffBy(error)))();
      return undefined;
    }
  }

  /** A side that has ended without an error ends the connection when the other one has ended, too. */
  #watch(side: SocketStream | TLSSocket): void {
    side.on("error", (error) => this.#guarded(() => this.#failed(codeOf(error)))());
    const atEnd = () => {
      if (this.#streams.every(({ destroyed }) => destroyed))
        this.#end(this.#isAgreed ? undefined : "ECONNRESET");
    };
    side.on("close", this.#guarded(atEnd));
  }

  /** What can't be told any more to a program that has ended its side is no failure. */
  #failed(code: Why): void {
    const program = this.#sides.get(this.#streams[0]);
    const isGone = this.#isAgreed && program !== undefined && hasEnded(program);
    this.#end(isGone && GONE.has(code) ? undefined : code);
  }

  /** An error of hako's own ends the run, as one that its own loop sees. */
  #guarded(call: () => void): () => void {
    return () => {
      try {
        call();
      } catch (error) {
        this.changes.later(() => {
          throw error;
        });
      }
    };
  }

  [Symbol.dispose](): void {
    this.#end(this.#isAgreed ? "ECONNABORTED" : "ECANCELED");
  }

  #end(why: Why | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelTimeout();
    const [{ bytesRead, bytesWritten }] = this.#streams;
    const failure = why === undefined ? undefined : new Error(why);
    for (const stream of this.#streams) stream.destroy(failure);
    for (const side of this.#sides.values()) side.destroy();
    this.ended(bytesRead, bytesWritten, why, this.#isReached);
  }
}

/** Whether the last that can be read of a stream has come, also where it isn't read yet. */
function hasEnded(stream: TLSSocket): boolean {
  const state: unknown = Reflect.get(stream, "_readableState");
  return typeof state === "object" && state !== null && Reflect.get(state, "ended") === true;
}

/** What an error of TLS is called: its code, or what it means. */
function codeOf(error: unknown): Why {
  const code: unknown = error instanceof Error ? Reflect.get(error, "code") : error;
  const cause = typeof code === "string" ? CAUSES[code] : undefined;
  if (cause !== undefined) return cause;
  return typeof code === "string" && /^[A-Z][A-Z0-9_]*$/.test(code) ? (code as Uppercase<string>) : "EPROTO";
}
