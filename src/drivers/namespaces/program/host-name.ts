import { bytesOf } from "../../../linux/call/bytes";
import type { Step } from "../../../linux/call/step";
import type { Config } from "../../../oci/config";

/** Host and domain name of the container's uts namespace (config.md "Hostname", "Domainname"). */
export function hostNameSteps(config: Config): Step[] {
  const names = [
    ["sethostname", "hostname", config.hostname],
    ["setdomainname", "domainname", config.domainname],
  ] as const;
  return names.flatMap(([call, field, name]): Step[] => {
    if (name === undefined || name === "") return [];
    const bytes = bytesOf(name);
    return [{ what: `config /${field}: ${call} ${name}`, call, args: [bytes, bytes.length] }];
  });
}
