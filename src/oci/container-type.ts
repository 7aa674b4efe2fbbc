import { HakoError } from "../base/errors";
import { whyNoId } from "./id";
import { pointer } from "./json";

export type ContainerType = "sandbox" | "container";

/** Who writes the annotations, under which names, and the words for the two types. */
const DIALECTS = [
  { type: "io.kubernetes.cri-o.ContainerType", sandbox: "io.kubernetes.cri-o.SandboxID" },
  { type: "io.kubernetes.cri.container-type", sandbox: "io.kubernetes.cri.sandbox-id" },
  { type: "io.kubernetes.docker.type", sandbox: "io.kubernetes.sandbox.id", sandboxWord: "podsandbox" },
  {
    type: "io.katacontainers.pkg.oci.container_type",
    sandbox: "io.katacontainers.pkg.oci.sandbox_id",
    sandboxWord: "pod_sandbox",
    containerWord: "pod_container",
  },
] as const;

export interface ContainerPlace {
  type: ContainerType;
  /** The sandbox's id; undefined: its own. podman's is the pod's, another one than that of the pod's first container. */
  sandbox: string | undefined;
}

type Annotations = Readonly<Record<string, string>>;

/** What a container is to its pod, from the annotations of CRI-O, containerd, dockershim and kata; without any a sandbox. */
export function placeOf(annotations: Annotations): ContainerPlace {
  for (const dialect of DIALECTS) {
    const word = annotations[dialect.type];
    if (word === undefined) continue;
    const sandbox = annotations[dialect.sandbox] || undefined;
    const sandboxWords = ["sandbox", "sandboxWord" in dialect ? dialect.sandboxWord : "sandbox"];
    const containerWords = ["container", "containerWord" in dialect ? dialect.containerWord : "container"];
    const noId = sandbox === undefined ? undefined : whyNoId(sandbox);
    if (noId !== undefined)
      throw wrong(dialect.sandbox, `invalid sandbox id ${JSON.stringify(sandbox)}: ${noId}`);
    if (sandboxWords.includes(word)) return { type: "sandbox", sandbox };
    if (!containerWords.includes(word))
      throw wrong(
        dialect.type,
        `unknown container type ${JSON.stringify(word)} (known are ${[...new Set([...sandboxWords, ...containerWords])].join(", ")})`,
      );
    if (sandbox === undefined) throw wrong(dialect.sandbox, "missing, but the container is in a pod");
    return { type: "container", sandbox };
  }
  return { type: "sandbox", sandbox: undefined };
}

function wrong(annotation: string, why: string): HakoError {
  return new HakoError({ code: "config", message: `config ${pointer(["annotations", annotation])}: ${why}` });
}

/** The id of the sandbox that a container's annotations name. */
export function sandboxOf(annotations: Annotations): string | undefined {
  return placeOf(annotations).sandbox;
}

/** Who made the container; podman writes "libpod". */
const MANAGER = "io.container.manager";

/**
 * Whether TERM, KILL and the end of this container are those of its whole sandbox, as in kata-runtime 1.x. A sandbox has the id of
 * the container that leads it: who may choose annotations, but no ids, ends no other one's. Not for podman: it stops the
 * containers of a pod all at once, each with a signal and a time of its own, and restarts one alone.
 */
export function leadsSandbox({ id, annotations }: { id: string; annotations: Annotations }): boolean {
  const { type, sandbox } = placeOf(annotations);
  return type === "sandbox" && sandbox === id && annotations[MANAGER] !== "libpod";
}
