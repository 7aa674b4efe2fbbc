// A client of containerd's CRI plugin: the calls by which a kubelet runs pods (cri-api: runtime/v1/api.proto), as gRPC over HTTP/2.
import { type ClientHttp2Session, connect, constants } from "node:http2";
import { createConnection } from "node:net";
import { decodeFields, encodeFields } from "../../src/container/criu/criu-message";

type Message = Uint8Array;
const text = (value: number | Buffer | undefined): string =>
  value instanceof Buffer ? value.toString() : "";
const number = (value: number | Buffer | undefined): number => (typeof value === "number" ? value : 0);

/** NamespaceMode. */
export const SHARED = { pod: 0, container: 1, node: 2 } as const;

export interface PodOptions {
  name: string;
  cgroupParent: string;
  logDirectory: string;
  network?: keyof typeof SHARED;
  pid?: keyof typeof SHARED;
  /** It may have privileged containers. */
  privileged?: boolean;
}

/** As a kubelet makes it of a pod's securityContext. */
export interface SecurityContext {
  privileged?: boolean;
  addCapabilities?: string[];
  dropCapabilities?: string[];
  user?: number;
  readOnlyRoot?: boolean;
  noNewPrivileges?: boolean;
  /** containerd has none if absent, a kubelet says one of the two. */
  seccomp?: keyof typeof SECCOMP;
  maskedPaths?: string[];
  readonlyPaths?: string[];
}

export interface PodContainerOptions {
  name: string;
  image: string;
  command: string[];
  memory?: number;
  pid?: keyof typeof SHARED;
  security?: SecurityContext;
  env?: Record<string, string>;
  mounts?: { host: string; at: string; readonly?: boolean }[];
}

/** SecurityProfile.ProfileType. */
const SECCOMP = { RuntimeDefault: 0, Unconfined: 1 } as const;

export interface Execution {
  stdout: string;
  stderr: string;
  status: number;
}

/** ContainerState. */
const STATES = ["created", "running", "exited", "unknown"] as const;

export class Cri implements Disposable {
  private readonly session: ClientHttp2Session;

  constructor(socket: string) {
    this.session = connect("http://localhost", { createConnection: () => createConnection(socket) });
    // what fails is told by the call
    this.session.on("error", () => {});
  }

  [Symbol.dispose](): void {
    this.session.destroy();
  }

  async runPod(options: PodOptions): Promise<string> {
    const answer = await this.call("RunPodSandbox", encodeFields([[1, podConfig(options)]]));
    return text(answer.get(1));
  }

  async createContainer(pod: string, of: PodOptions, options: PodContainerOptions): Promise<string> {
    const { name, image, command, memory, pid, env = {}, mounts = [] } = options;
    const resources = encodeFields([[4, memory]]);
    const security = securityContext(options.security ?? {}, namespaces(of.network, pid ?? of.pid));
    const config = encodeFields([
      [1, encodeFields([[1, name]])],
      [2, encodeFields([[1, image]])],
      [3, command],
      [6, Object.entries(env).map((pair) => encodeFields(pair.map((text, index) => [index + 1, text])))],
      [
        7,
        mounts.map(({ at, host, readonly }) =>
          encodeFields([
            [1, at],
            [2, host],
            [3, readonly],
          ]),
        ),
      ],
      [11, `${name}.log`],
      [
        15,
        encodeFields([
          [1, resources],
          [2, security],
        ]),
      ],
    ]);
    const request = encodeFields([
      [1, pod],
      [2, config],
      [3, podConfig(of)],
    ]);
    return text((await this.call("CreateContainer", request)).get(1));
  }

  async startContainer(id: string): Promise<void> {
    await this.call("StartContainer", encodeFields([[1, id]]));
  }

  /** TERM, and KILL after so many seconds. */
  async stopContainer(id: string, seconds: number): Promise<void> {
    await this.call(
      "StopContainer",
      encodeFields([
        [1, id],
        [2, seconds],
      ]),
    );
  }

  async removeContainer(id: string): Promise<void> {
    await this.call("RemoveContainer", encodeFields([[1, id]]));
  }

  async updateMemory(id: string, memory: number): Promise<void> {
    await this.call(
      "UpdateContainerResources",
      encodeFields([
        [1, id],
        [2, encodeFields([[4, memory]])],
      ]),
    );
  }

  async status(id: string): Promise<{ state: (typeof STATES)[number]; exitCode: number; reason: string }> {
    const status = (await this.call("ContainerStatus", encodeFields([[1, id]]))).get(1);
    const fields = decodeFields(status instanceof Buffer ? status : Buffer.alloc(0));
    return {
      state: STATES[number(fields.get(3))] ?? "unknown",
      exitCode: number(fields.get(7)),
      reason: text(fields.get(10)),
    };
  }

  async exec(id: string, ...command: string[]): Promise<Execution> {
    const answer = await this.call(
      "ExecSync",
      encodeFields([
        [1, id],
        [2, command],
        [3, 30],
      ]),
    );
    return { stdout: text(answer.get(1)), stderr: text(answer.get(2)), status: number(answer.get(3)) };
  }

  /** The first address of a pod. */
  async podAddress(id: string): Promise<string> {
    const status = (await this.call("PodSandboxStatus", encodeFields([[1, id]]))).get(1);
    const network = decodeFields(status instanceof Buffer ? status : Buffer.alloc(0)).get(5);
    return text(decodeFields(network instanceof Buffer ? network : Buffer.alloc(0)).get(1));
  }

  async removePod(id: string): Promise<void> {
    await this.call("StopPodSandbox", encodeFields([[1, id]]));
    await this.call("RemovePodSandbox", encodeFields([[1, id]]));
  }

  /** One call; the message of its answer, or an error with what the service says. */
  private call(method: string, message: Message): Promise<ReturnType<typeof decodeFields>> {
    return new Promise((resolve, reject) => {
      const stream = this.session.request({
        [constants.HTTP2_HEADER_METHOD]: "POST",
        [constants.HTTP2_HEADER_PATH]: `/runtime.v1.RuntimeService/${method}`,
        [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc",
        te: "trailers",
      });
      const parts: Buffer[] = [];
      let status: { code: string; message: string } | undefined;
      const note = (headers: Record<string, unknown>): void => {
        if (headers["grpc-status"] === undefined) return;
        const said = decodeURIComponent(String(headers["grpc-message"] ?? ""));
        status = { code: String(headers["grpc-status"]), message: said };
      };
      stream.on("response", note);
      stream.on("trailers", note);
      stream.on("data", (part: Buffer) => parts.push(part));
      stream.on("error", reject);
      stream.on("close", () => {
        if (status?.code !== "0") reject(new Error(`${method}: ${status?.message ?? "no status"}`));
        // after a byte that says "not compressed" and four of the length
        else resolve(decodeFields(Buffer.concat(parts).subarray(PREFIX_LENGTH)));
      });
      const prefix = Buffer.alloc(PREFIX_LENGTH);
      prefix.writeUInt32BE(message.length, 1);
      stream.end(Buffer.concat([prefix, message]));
    });
  }
}

const PREFIX_LENGTH = 5;

function namespaces(network: keyof typeof SHARED = "pod", pid: keyof typeof SHARED = "container"): Message {
  return encodeFields([
    [1, SHARED[network]],
    [2, SHARED[pid]],
    [3, SHARED.pod],
  ]);
}

function securityContext(context: SecurityContext, namespaces: Message): Message {
  const { addCapabilities, dropCapabilities, user, seccomp } = context;
  const capabilities = encodeFields([
    [1, addCapabilities],
    [2, dropCapabilities],
  ]);
  return encodeFields([
    [1, capabilities],
    [2, context.privileged],
    [3, namespaces],
    [5, user === undefined ? undefined : encodeFields([[1, user]])],
    [7, context.readOnlyRoot],
    [11, context.noNewPrivileges],
    [13, context.maskedPaths],
    [14, context.readonlyPaths],
    [15, seccomp === undefined ? undefined : encodeFields([[1, SECCOMP[seccomp]]])],
  ]);
}

function podConfig({ name, cgroupParent, logDirectory, network, pid, privileged }: PodOptions): Message {
  const metadata = encodeFields([
    [1, name],
    [2, `uid-${name}`],
    [3, "default"],
  ]);
  const security = encodeFields([
    [1, namespaces(network, pid)],
    [6, privileged],
  ]);
  return encodeFields([
    [1, metadata],
    // as a kubelet: on the node's network the name is the node's
    [2, network === "node" ? undefined : name],
    [3, logDirectory],
    [
      8,
      encodeFields([
        [1, cgroupParent],
        [2, security],
      ]),
    ],
  ]);
}
