// hako as a runtime of clients whose containers are in machines: few clients hand variables on, or let flags be given.
import { chmodSync, writeFileSync } from "node:fs";
import { environment, setUp, shared } from "../e2e/machines";
import { HAKO } from "../e2e/support";

/** The path of a program, in a directory, that is hako with the driver vm, with guests that the tests share. */
export function hakoInMachines(directory: string): string {
  const cache = shared.path("cache");
  setUp(cache);
  const { PATH: _, ...others } = environment(cache);
  const variables = Object.entries(others).map(([name, value]) => `${name}='${value}'`);
  const path = `${directory}/hako-vm`;
  writeFileSync(
    path,
    `#!/bin/bash\nexport ${variables.join(" ")}\nexec -a "\${0%/*}/hako-vm" ${HAKO} "$@"\n`,
  );
  chmodSync(path, 0o755);
  return path;
}
