import { HakoError } from "../base/errors";

declare const brand: unique symbol;
/** The id of a container, checked: safe as the name of a file, a cgroup and a unit. */
export type ContainerId = string & { readonly [brand]: "container" };
/** The id of a sandbox, checked. */
export type SandboxId = string & { readonly [brand]: "sandbox" };

/** A file name has 255 bytes; suffixes of ours and of systemd units need the rest. */
const MAX_LENGTH = 200;

/** Why a text can't be an id; undefined if it can. */
export function whyNoId(text: string): string | undefined {
  if (text === "." || text === "..") return "it names a directory";
  if (!/^[A-Za-z0-9_+.-]+$/.test(text)) return "only letters A-Z and a-z, digits and _ + - . are allowed";
  if (text.length > MAX_LENGTH) return `longer than ${MAX_LENGTH} bytes`;
  return undefined;
}

/** The directory of the mapping store, beside those of the containers. */
export const MAPPINGS = "containers-mapping";

function check(kind: "container" | "sandbox", text: string, reserved?: string): string {
  if (text === "") throw new HakoError({ code: "usage", message: `missing ${kind} id` });
  const why = text === reserved ? "hako keeps its own files there" : whyNoId(text);
  if (why !== undefined) {
    throw new HakoError({ code: "usage", message: `invalid ${kind} id ${JSON.stringify(text)}: ${why}` });
  }
  return text;
}

/**
 * Checks the id of a container. The rule is runc's, and allows nothing that leaves the state directory; one name is taken by the
 * mapping store.
 */
export function containerId(text: string): ContainerId {
  return check("container", text, MAPPINGS) as ContainerId;
}

/** Checks the id of a sandbox, from a caller or from the name of a directory. */
export function sandboxId(text: string): SandboxId {
  return check("sandbox", text) as SandboxId;
}
