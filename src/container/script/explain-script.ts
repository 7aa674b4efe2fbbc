import type { HakoError } from "../../base/errors";
import { exists } from "../../linux/file/file";
import { dirname, isAtOrBelow, resolve } from "../../linux/file/path-text";
import type { Bundle } from "../bundle";

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
  return withFlags(withWeaker(withCover(error, bundle)));
}

/** Says which weaker isolation there may be, of a container that could not be made for lack of rights over this host. */
function withWeaker(error: HakoError): HakoError {
  const { hint, reason, errno } = error;
  const less =
    /^config \/mounts\/\d+: mount \S+ on \/proc: fsmount/.test(reason) && errno === "EPERM"
      ? "proc"
      : undefined;
  if (less === undefined) return error;
  const more = `--weaker ${less} goes on with the outer /proc`;
  return error.with({ hint: hint === undefined ? more : `${hint}; ${more}` });
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
