import type { HakoError } from "../../base/errors";
import { exists } from "../../linux/file/file";
import { dirname, isAtOrBelow, resolve } from "../../linux/file/path-text";
import type { Bundle } from "../bundle";

/** Loaded on first use. */
const rare = {
  get outerContainer() {
    return require("../../explain/outer-container") as typeof import("../../explain/outer-container");
  },
  get explainRights() {
    return require("../../explain/rights") as typeof import("../../explain/rights");
  },
};

/** The flags that fields of config.json come from, where the value is the caller's own. */
const FLAGS: Readonly<Record<string, string>> = {
  "/linux/resources/memory/limit": "--memory",
  "/linux/resources/cpu/quota": "--cpus",
  "/linux/resources/pids/limit": "--pids",
  "/process/cwd": "--workdir",
  "/hostname": "--hostname",
};

/** An error of `run --rootfs` for somebody who has written no config.json. */
export function explainScript(error: HakoError, bundle: Pick<Bundle, "config" | "overlay">): HakoError {
  return rare.outerContainer.withOuterWords(withFlags(withWeaker(withCover(error, bundle))));
}

/** What is refused, by the words of the error, where a weaker isolation would not need it. */
const INSTEAD: readonly (readonly [refused: RegExp, weaker: string])[] = [
  [/^config \/mounts\/\d+: mount \S+ on \/proc: fsmount/, "--weaker proc goes on with the outer /proc"],
  [
    /^(?:clone3?|unshare|config \/linux\/[ug]idMappings|enter the root file system \S+: pivot_root): /,
    "--weaker namespaces confines it by Landlock and seccomp alone",
  ],
];
const REFUSALS: ReadonlySet<string> = new Set(["EPERM", "EACCES", "ENOSYS", "ENOSPC", "EUSERS"]);

/** Says which weaker isolation there is, of a container that could not be made for lack of rights over this host. */
function withWeaker(error: HakoError): HakoError {
  const { reason, errno = "" } = error;
  const instead = REFUSALS.has(errno) ? INSTEAD.find(([refused]) => refused.test(reason))?.[1] : undefined;
  if (instead === undefined) return error;
  const { hint } = rare.explainRights.explainRights(error);
  return error.with({ hint: hint === undefined ? instead : `${hint}; ${instead}` });
}

function withFlags(error: HakoError): HakoError {
  const { reason, advice } = error;
  const message = reason.replace(
    /\bconfig (?:\/linux\/resources: )?(\/[a-zA-Z/]+)/,
    (whole, pointer: string) => FLAGS[pointer] ?? whole,
  );
  return message === reason ? error : error.with({ message, hint: advice, cause: undefined });
}

/** Says of a program that is not there, though the caller sees it, which of the container's mounts covers its place: a new /dev/shm, say, or an ordinary user's /tmp. */
function withCover(error: HakoError, { config, overlay }: Pick<Bundle, "config" | "overlay">): HakoError {
  const { process, mounts = [] } = config;
  const name = process?.args?.[0];
  if (error.code !== "command-not-found" || error.hint !== undefined || !name?.includes("/")) return error;
  const path = resolve(process?.cwd ?? "/", name);
  const covers = [
    ...(overlay?.places ?? []).map((place) => ({ at: place.path, hides: place.kind === "memory" })),
    ...mounts.map(({ destination }) => ({ at: destination, hides: true })),
  ];
  const { at: cover, hides } = covers.findLast(({ at }) => isAtOrBelow(path, at)) ?? {};
  if (cover === undefined || !hides || !exists(path)) return error;
  const directory = dirname(path);
  return error.with({
    hint: `the container's ${cover} is its own: -v ${directory}:${directory} shows yours`,
  });
}
