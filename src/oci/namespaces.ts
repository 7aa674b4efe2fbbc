import type { NamespaceType } from "../linux/process/namespace";
import type { Config } from "./config";

/** Whether a container has a namespace of a type that is not hako's own: a new one, or one that it joins. */
export function hasNamespace({ linux }: Config, type: NamespaceType): boolean {
  return linux?.namespaces?.some((namespace) => namespace.type === type) === true;
}

/** The path of the namespace that a container joins; undefined if the namespace is new or the host's. */
export function joinedNamespace({ linux }: Config, type: NamespaceType): string | undefined {
  return linux?.namespaces?.find((namespace) => namespace.type === type)?.path || undefined;
}
