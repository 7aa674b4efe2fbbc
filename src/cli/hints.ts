import { nearestName, nearestWord } from "../base/nearest";
import { dockerHint } from "./docker-hints";

/** What users of docker, runc and kata-runtime type that a command has no such flag for, and what to do here. */
const FLAGS: Readonly<Record<string, string>> = {
  i: "standard input is always connected",
  interactive: "standard input is always connected",
  rm: "a container is deleted at its end; --keep keeps it",
  name: "the id is the operand",
  "security-opt": "for a seccomp profile: hako run --rootfs DIR --seccomp default|FILE|off",
  // of kata-runtime 1.x
  "kata-config": "hako has no configuration file of kata's: flags and config.json say all of a container",
  "kata-show-default-config-paths":
    "hako has no configuration file of kata's: flags and config.json say all of a container",
  "kata-all": "hako list --json tells all of containers, hako env of the host",
  console: "--console-socket SOCK hands the terminal over; hako console recv SOCK takes it",
  "no-network-checks": "hako check uses no network: leave it out",
  strict: "of kata-check: hako is one file, with no other versions to compare",
  verbose: "hako --debug COMMAND logs each step; check has a line for each point anyway",
  "check-version-only": "hako --version names the build; it looks for no newer one",
  "only-list-releases": "hako --version names the build; it looks for no newer one",
  "include-all-releases": "hako --version names the build; it looks for no newer one",
};

/** What docker, podman, runc and kata-runtime call a command that hako has under another name, or not at all. */
const COMMANDS: Readonly<Record<string, string>> = {
  remove: "hako delete",
  unpause: "hako resume",
  continue: "hako resume",
  inspect: "hako state",
  status: "hako state",
  stats: "hako top, or hako events --stats for all numbers of one",
  info: "hako env",
  init: "hako spec",
  // of kata-runtime 1.x
  "kata-overhead": "no machine takes more than the container: hako events --stats ID tells what that uses",
  "kata-network": "hako netns exec PATH -- ip ..., or linux.netDevices in config.json",
  factory: "hako machine template build makes the machine that others are made from",
};

/** A hint for a flag that a command doesn't have; undefined if nothing is near. */
export function flagHint(name: string, known: readonly string[]): string | undefined {
  const hint = Object.hasOwn(FLAGS, name) ? FLAGS[name] : dockerHint(name);
  if (hint !== undefined) return hint;
  const meant = nearestName(name.toLowerCase(), known);
  return meant === undefined ? undefined : `did you mean --${meant}?`;
}

export function commandHint(name: string, known: readonly string[]): string {
  const lower = name.toLowerCase();
  if (Object.hasOwn(COMMANDS, lower)) return COMMANDS[lower] ?? "";
  const meant = nearestWord(name, known);
  return meant === undefined ? "hako --help lists them" : `did you mean hako ${meant}?`;
}
