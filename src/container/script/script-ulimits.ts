import { HakoError } from "../../base/errors";
import { didYouMean, nearestWord } from "../../base/nearest";
import { effectiveCapabilities, SYS_RESOURCE } from "../../linux/process/capabilities";
import { getLimit, RLIMITS, type RlimitName } from "../../linux/process/rlimit";
import type { Process } from "../../oci/config";

type Rlimit = NonNullable<Process["rlimits"]>[number];

const UNLIMITED = 2n ** 64n - 1n;
const FORM = "as nofile=1024 or nofile=1024:4096, in the units of setrlimit(2); -1 is no limit";

function limitOf(text: string): bigint | undefined {
  if (text === "-1" || text === "unlimited") return UNLIMITED;
  return /^\d{1,19}$/.test(text) ? BigInt(text) : undefined;
}

/** `--ulimit NAME=SOFT[:HARD]`, as docker has it; what isn't given stays the caller's. */
export function ulimitOf(spec: string): Rlimit {
  const [name = "", values = "", ...more] = spec.split("=");
  const wrong = (why: string, hint = FORM) =>
    HakoError.usage(`--ulimit ${JSON.stringify(spec)}: ${why}`, hint);
  const type = `RLIMIT_${name.toUpperCase()}`;
  if (!isRlimit(type)) {
    const names = Object.keys(RLIMITS).map((each) => each.slice("RLIMIT_".length).toLowerCase());
    throw wrong(
      `${JSON.stringify(name)} is no limit${didYouMean(nearestWord(name, names))}`,
      names.join(", "),
    );
  }
  const [first = "", second, ...others] = values.split(":");
  const soft = limitOf(first);
  const hard = second === undefined ? soft : limitOf(second);
  if (soft === undefined || hard === undefined || more.length > 0 || others.length > 0)
    throw wrong("not NAME=SOFT[:HARD] with numbers");
  if (soft > hard) throw wrong("the soft limit is above the hard one");
  const now = getLimit(0, type).hard;
  if (hard > now && (effectiveCapabilities() & SYS_RESOURCE) === 0n)
    throw new HakoError({
      code: "unsupported",
      message: `--ulimit ${JSON.stringify(spec)}: the caller's hard limit is ${now}`,
      hint: "to raise it needs CAP_SYS_RESOURCE",
    });
  return { type, soft, hard };
}

function isRlimit(name: string): name is RlimitName {
  return Object.hasOwn(RLIMITS, name);
}
