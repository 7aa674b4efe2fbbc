import { expect, test } from "bun:test";
import type { Config } from "../../src/oci/config";
import { defaultConfig } from "../../src/oci/default";
import { unbuiltFields } from "../../src/oci/refused";

function pointers(mutate: (config: Config) => void): string[] {
  const config = structuredClone(defaultConfig({ rootless: false }));
  mutate(config);
  return unbuiltFields(config).map(({ pointer }) => pointer);
}

test("an ordinary config has none", () => {
  expect(pointers(() => {})).toEqual([]);
});

test("empty values ask for nothing", () => {
  const none = (config: Config): void => {
    Object.assign(config.linux ?? {}, { intelRdt: {} });
  };
  expect(pointers(none)).toEqual([]);
});

const rows: [string, (config: Config) => void][] = [
  ...["intelRdt"].map((field): [string, (config: Config) => void] => [
    `/linux/${field}`,
    (config) => Object.assign(config.linux ?? {}, { [field]: { a: 1 } }),
  ]),
  ...["network", "rdma"].map((field): [string, (config: Config) => void] => [
    `/linux/resources/${field}`,
    (config) => Object.assign(config.linux?.resources ?? {}, { [field]: { a: 1 } }),
  ]),
  [
    "/linux/cgroupsPath",
    (config) => Object.assign(config.linux ?? {}, { cgroupsPath: "system.slice:hako:web" }),
  ],
];
for (const [pointer, mutate] of rows) {
  test(pointer, () => {
    expect(pointers(mutate)).toEqual([pointer]);
  });
}
