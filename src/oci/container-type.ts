import { HakoError } from "../base/errors";
import { MANAGER_ANNOTATION, POD_ANNOTATIONS } from "./annotations";
import { whyNoId } from "./id";
import { pointer } from "./json";

export type ContainerType = "sandbox" | "container";

export interface ContainerPlace {
  type: ContainerType;
  /**
   * The id of the sandbox; undefined where the container is its own sandbox. podman gives the id of the pod, which is not that of the
   * pod's first container.
   */
  sandbox: string | undefined;
}

type Annotations = Readonly<Record<string, string>>;

/** A container's place in its pod, from its annotations (POD_ANNOTATIONS). A container without any is a sandbox of its own. */
export function placeOf(annotations: Annotations): ContainerPlace {
  for (const dialect of POD_ANNOTATIONS) {
    const word = annotations[dialect.type];
    if (word === undefined) continue;
    const sandbox = annotations[dialect.sandbox] || undefined;
    const sandboxWords = ["sandbox", dialect.sandboxWord ?? "sandbox"];
    const containerWords = ["container", dialect.containerWord ?? "container"];
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

/**
 * Whether TERM, KILL and the end of this container are those of its whole sandbox, as in kata-runtime 1.x.
 *
 * - The leader is the container whose id is the sandbox's. So a caller who may choose annotations, but no ids, can't end the sandbox
 *   of others.
 * - podman's containers never lead: podman stops all containers of a pod by itself, each with its own signal and timeout, and may
 *   restart one alone.
 */
export function leadsSandbox({ id, annotations }: { id: string; annotations: Annotations }): boolean {
  const { type, sandbox } = placeOf(annotations);
  return type === "sandbox" && sandbox === id && annotations[MANAGER_ANNOTATION] !== "libpod";
}
