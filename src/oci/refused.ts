import { isSystemdPath } from "../cgroup/paths";
import type { Config, Problem } from "./config";

/** Whether a field says anything: empty texts, lists and objects are what clients send for nothing. */
function isEffective(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return false;
  if (typeof value === "object") return Object.keys(value).length > 0;
  return true;
}

type Read = (config: Config) => unknown;

/** Fields of config.json that hako does not apply yet. They are refused, since a container would be less isolated, or other, than asked for. */
const UNBUILT: readonly (readonly [string, Read])[] = [
  ["/linux/intelRdt", ({ linux }) => linux?.intelRdt],
  ["/linux/resources/network", ({ linux }) => linux?.resources?.network],
  ["/linux/resources/rdma", ({ linux }) => linux?.resources?.rdma],
];

const HINTS: Readonly<Record<string, string>> = {
  "/linux/cgroupsPath": "a path for systemd: use the cgroupfs manager, for podman --cgroup-manager=cgroupfs",
};

/** Every field that asks for something that is not built yet. */
export function unbuiltFields(config: Config): Problem[] {
  const found = UNBUILT.filter(([, read]) => isEffective(read(config))).map(([pointer]) => pointer);
  // "slice:prefix:name" is what callers of the systemd cgroup driver write
  if (isSystemdPath(config.linux?.cgroupsPath ?? "")) found.push("/linux/cgroupsPath");
  return found.map((pointer) => {
    const hint = HINTS[pointer];
    return { pointer, message: `not built yet, so it is refused${hint === undefined ? "" : ` (${hint})`}` };
  });
}
