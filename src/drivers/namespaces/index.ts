import type { SandboxDriver } from "../driver";

/** Containers as processes of this kernel, in namespaces and cgroups. Each way loads only what it needs. */
export const namespacesDriver: SandboxDriver = {
  name: "namespaces",
  create(plan, events, undo) {
    const { createInNamespaces } = require("./create") as typeof import("./create");
    createInNamespaces(plan, events, undo);
  },
  exec(plan, ready, undo) {
    const { execInNamespaces } = require("./exec") as typeof import("./exec");
    return execInNamespaces(plan, ready, undo);
  },
};
