import { expect, test } from "bun:test";
import { defaultConfig } from "../../src/oci/default";
import { unbuiltFields } from "../../src/oci/refused";

test("a cgroupsPath for systemd is refused, others are not", () => {
  const config = defaultConfig({ rootless: false });
  expect(unbuiltFields(config)).toEqual([]);
  const linux = { ...config.linux, cgroupsPath: "system.slice:hako:web" };
  expect(unbuiltFields({ ...config, linux }).map(({ pointer }) => pointer)).toEqual(["/linux/cgroupsPath"]);
});
