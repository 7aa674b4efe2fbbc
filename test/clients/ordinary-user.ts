// The ordinary user of rootless podman's tests, and what the machine needs for them.
import { readFileSync } from "node:fs";
import { type Needs, needsProgram } from "../e2e/support";

export const USER = 12_345;

const programs = ["podman", "conmon", "newuidmap", "newgidmap", "setpriv", "unshare"];
const userNamespaces = readFileSync("/proc/sys/user/max_user_namespaces", "utf8").trim();
export const needsRootless: Needs[] = [
  ...programs.map(needsProgram),
  userNamespaces === "0" ? "no user namespaces on this host" : undefined,
];
