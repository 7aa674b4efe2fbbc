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
    Object.assign(config.process ?? {}, { apparmorProfile: "", selinuxLabel: "", scheduler: null });
  };
  expect(pointers(none)).toEqual([]);
});

const rows: [string, (config: Config) => void][] = [
  ...["scheduler", "ioPriority", "execCPUAffinity"].map((field): [string, (config: Config) => void] => [
    `/process/${field}`,
    (config) => Object.assign(config.process ?? {}, { [field]: { a: 1 } }),
  ]),
  ...["apparmorProfile", "selinuxLabel"].map((field): [string, (config: Config) => void] => [
    `/process/${field}`,
    (config) => Object.assign(config.process ?? {}, { [field]: "x" }),
  ]),
  ...["seccomp", "timeOffsets", "netDevices", "intelRdt", "memoryPolicy", "personality"].map(
    (field): [string, (config: Config) => void] => [
      `/linux/${field}`,
      (config) => Object.assign(config.linux ?? {}, { [field]: { a: 1 } }),
    ],
  ),
  ["/linux/mountLabel", (config) => Object.assign(config.linux ?? {}, { mountLabel: "x" })],
  ...["network", "rdma"].map((field): [string, (config: Config) => void] => [
    `/linux/resources/${field}`,
    (config) => Object.assign(config.linux?.resources ?? {}, { [field]: { a: 1 } }),
  ]),
  [
    "/linux/cgroupsPath",
    (config) => Object.assign(config.linux ?? {}, { cgroupsPath: "system.slice:hako:web" }),
  ],
  ["/linux/namespaces/0", (config) => config.linux?.namespaces?.unshift({ type: "time" })],
  [
    "/mounts/0/uidMappings",
    (config) =>
      Object.assign(config.mounts?.[0] ?? {}, { uidMappings: [{ containerID: 0, hostID: 0, size: 1 }] }),
  ],
  ["/mounts/0/options/0", (config) => Object.assign(config.mounts?.[0] ?? {}, { options: ["idmap"] })],
  [
    "/mounts/0/options/1",
    (config) => Object.assign(config.mounts?.[0] ?? {}, { options: ["ro", "ridmap=x"] }),
  ],
];
for (const [pointer, mutate] of rows) {
  test(pointer, () => {
    expect(pointers(mutate)).toEqual([pointer]);
  });
}
