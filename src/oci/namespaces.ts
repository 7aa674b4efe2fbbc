import type { NamespaceType } from "../linux/process/namespace";
import type { Config } from "./config";

/** Whether a container has a namespace of a type other than by leaving it to the host: a new one, or one that it joins. */
export function hasNamespace({ linux }: Config, type: NamespaceType): boolean {
  return linux?.namespaces?.some((namespace) => namespace.type === type) === true;
}

/** The path of the namespace that a container joins; undefined if it has a new one, or the host's. */
export function joinedNamespace({ linux }: Config, type: NamespaceType): string | undefined {
  return linux?.namespaces?.find((namespace) => namespace.type === type)?.path || undefined;
}
