import { HakoError } from "../../base/errors";
import { didYouMean, nearestName } from "../../base/nearest";
import { allCapabilities, CAPABILITIES, permittedCapabilities } from "../../linux/process/capabilities";

/** What a program of `hako run --rootfs` may have, and what of it was asked for by name. */
export interface ScriptCapabilities {
  granted: readonly string[];
  added: readonly string[];
}

const ALL = "ALL";

/**
 * `--cap-add` and `--cap-drop`, as docker has them: ALL or names, with or without CAP_, several between commas; their order counts for
 * nothing. What hako itself hasn't got it can't give: asked for by name that is an error, and ALL is what there is.
 */
export function chosenCapabilities(
  usual: readonly string[],
  add: readonly string[],
  drop: readonly string[],
  rootless: boolean,
): ScriptCapabilities {
  const adds = namesOf("--cap-add", add);
  const drops = namesOf("--cap-drop", drop);
  for (const name of adds) {
    if (drops.has(name))
      throw HakoError.usage(`--cap-add ${name} and --cap-drop ${name} contradict each other`);
  }
  const have = available(rootless);
  const added = adds.has(ALL) ? have.filter((name) => !drops.has(name)) : [...adds];
  const missing = added.find((name) => !have.includes(name));
  if (missing !== undefined) {
    throw new HakoError({
      code: "unsupported",
      message: `--cap-add ${missing}: hako itself doesn't have it here`,
      hint: "/proc/self/status of the caller says what it has (CapPrm)",
    });
  }
  const kept = drops.has(ALL) ? [] : usual.filter((name) => !drops.has(name));
  return { granted: [...new Set([...kept, ...added])], added };
}

/** What a program can be given: in a user namespace of its own all that the kernel knows. */
function available(rootless: boolean): string[] {
  const mask = rootless ? allCapabilities() : permittedCapabilities();
  return CAPABILITIES.filter((_, number) => (mask & (1n << BigInt(number))) !== 0n);
}

function namesOf(flag: string, given: readonly string[]): Set<string> {
  return new Set(given.flatMap((text) => text.split(",")).map((word) => nameOf(flag, word)));
}

function nameOf(flag: string, word: string): string {
  const upper = word.toUpperCase();
  const name = upper === ALL || upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (name === ALL || CAPABILITIES.some((known) => known === name)) return name;
  throw HakoError.usage(
    `${flag}: ${JSON.stringify(word)} is no capability${didYouMean(nearestName(name, CAPABILITIES))}`,
    "ALL, or names of capabilities(7) such as NET_RAW",
  );
}
