import { bytesOf } from "../../../linux/call/bytes";
import type { Step } from "../../../linux/call/step";
import type { Config } from "../../../oci/config";

const UNASKED = { success: { or: "EPERM" } } as const;

/**
 * Host and domain name of the container's uts namespace (config.md "Hostname", "Domainname"). One that nobody has asked for stays the outer one
 * where a seccomp filter that hako is under refuses it.
 */
export function hostNameSteps(config: Config, unasked = false): Step[] {
  const names = [
    ["sethostname", "hostname", config.hostname],
    ["setdomainname", "domainname", config.domainname],
  ] as const;
  return names.flatMap(([call, field, name]): Step[] => {
    if (name === undefined || name === "") return [];
    const bytes = bytesOf(name);
    return [
      {
        what: `config /${field}: ${call} ${name}`,
        call,
        args: [bytes, bytes.length],
        ...(unasked ? UNASKED : {}),
      },
    ];
  });
}
