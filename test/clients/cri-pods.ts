// Pods of a containerd with its CRI plugin, on a machine of its own, with the tested runtime.
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { HAKO } from "../e2e/support";
import { Containerd, IMAGE } from "./containerd-daemon";
import { Cri, type PodContainerOptions, type PodOptions } from "./cri-client";
import type { Machine } from "./machine";

/** Where the shim has the runtime keep these containers. */
export const STATE = "/run/containerd/runc/k8s.io";

export interface CriOptions {
  /** Containers are scopes of systemd's, which the daemon shares its processes with; pods are in this slice. */
  slice?: string;
  /** The program that makes containers, if it is not the tested one as it is. */
  runtime?: string;
  /** Where plugins of CNI are that give pods a bridge; pods have no network if absent. */
  bridge?: string;
}

/** A network plugin that leaves every pod without one. */
const PLUGIN = `#!/bin/sh
cat >/dev/null
[ "$CNI_COMMAND" != DEL ] || exit 0
echo '{"cniVersion":"0.4.0","interfaces":[{"name":"'$CNI_IFNAME'","sandbox":"'$CNI_NETNS'"}],"ips":[{"version":"4","address":"10.1.2.3/24","interface":0}]}'
`;

/** Without the right to lower OOM scores, which an ordinary virtual machine's root may lack. */
const configuration = (plugins: string, networks: string, { slice, runtime = HAKO }: CriOptions): string => `
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${IMAGE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "${plugins}"
conf_dir = "${networks}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "${runtime}"
SystemdCgroup = ${slice !== undefined}
`;

/** A bridge of its own, whose pods have addresses of this subnet. */
function bridged(machine: Machine): object {
  const ipam = {
    ...{ type: "host-local", dataDir: machine.path("data/addresses") },
    ...{ ranges: [[{ subnet: "10.97.0.0/24" }]], routes: [{ dst: "0.0.0.0/0" }] },
  };
  return { type: "bridge", bridge: "pods0", isGateway: true, ipam };
}

function configure(machine: Machine, options: CriOptions): string {
  for (const name of ["plugins", "networks", "logs"]) mkdirSync(machine.path(name));
  for (const name of ["none", "loopback"]) {
    writeFileSync(machine.path(`plugins/${name}`), PLUGIN);
    chmodSync(machine.path(`plugins/${name}`), 0o755);
  }
  const { bridge } = options;
  const plugin = bridge === undefined ? { type: "none" } : bridged(machine);
  const network = { cniVersion: "0.4.0", name: "pods", plugins: [plugin] };
  writeFileSync(machine.path("networks/1-pods.conflist"), JSON.stringify(network));
  return configuration(bridge ?? machine.path("plugins"), machine.path("networks"), options);
}

export class CriPods implements AsyncDisposable {
  readonly cri: Cri;

  private constructor(
    private readonly containerd: Containerd,
    private readonly slice: string | undefined,
  ) {
    this.cri = new Cri(containerd.daemon.address);
  }

  static async start(options: CriOptions = {}): Promise<CriPods> {
    const { slice } = options;
    const daemon = await Containerd.start((machine) => configure(machine, options), {
      sharesProcesses: slice !== undefined,
    });
    return new CriPods(daemon, slice);
  }

  get machine(): Machine {
    return this.containerd.machine;
  }

  async run(options: Pick<PodOptions, "name" | "pid" | "network" | "privileged">): Promise<Pod> {
    const cgroupParent = this.slice ?? this.machine.cgroup;
    const all = { cgroupParent, logDirectory: this.machine.path("logs"), ...options };
    return new Pod(this.cri, all, await this.cri.runPod(all));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cri[Symbol.dispose]();
    await this.containerd[Symbol.asyncDispose]();
  }
}

/** A pod that is gone after `await using`. */
export class Pod implements AsyncDisposable {
  constructor(
    private readonly cri: Cri,
    private readonly options: PodOptions,
    readonly id: string,
  ) {}

  create(name: string, command: string[], options: Partial<PodContainerOptions> = {}): Promise<string> {
    return this.cri.createContainer(this.id, this.options, { name, image: IMAGE, command, ...options });
  }

  async start(name: string, command: string[], options: Partial<PodContainerOptions> = {}): Promise<string> {
    const id = await this.create(name, command, options);
    await this.cri.startContainer(id);
    return id;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cri.removePod(this.id);
  }
}
