import { describe, expect, test } from "bun:test";
import { leadsSandbox, placeOf } from "../../src/oci/container-type";

const CRIO = "io.kubernetes.cri-o.ContainerType";
const CRIO_SANDBOX = "io.kubernetes.cri-o.SandboxID";
const CRI = "io.kubernetes.cri.container-type";
const CRI_SANDBOX = "io.kubernetes.cri.sandbox-id";

describe("placeOf", () => {
  const rows: [Record<string, string>, ReturnType<typeof placeOf>][] = [
    [{}, { type: "sandbox", sandbox: undefined }],
    [{ other: "x" }, { type: "sandbox", sandbox: undefined }],
    [{ [CRIO]: "sandbox" }, { type: "sandbox", sandbox: undefined }],
    [
      { [CRIO]: "sandbox", [CRIO_SANDBOX]: "pod" },
      { type: "sandbox", sandbox: "pod" },
    ],
    [
      { [CRIO]: "container", [CRIO_SANDBOX]: "pod" },
      { type: "container", sandbox: "pod" },
    ],
    [
      { [CRI]: "container", [CRI_SANDBOX]: "pod" },
      { type: "container", sandbox: "pod" },
    ],
    [{ "io.kubernetes.docker.type": "podsandbox" }, { type: "sandbox", sandbox: undefined }],
    [
      { "io.kubernetes.docker.type": "container", "io.kubernetes.sandbox.id": "pod" },
      { type: "container", sandbox: "pod" },
    ],
    [
      {
        "io.katacontainers.pkg.oci.container_type": "pod_container",
        "io.katacontainers.pkg.oci.sandbox_id": "pod",
      },
      { type: "container", sandbox: "pod" },
    ],
  ];
  for (const [annotations, place] of rows) {
    test(JSON.stringify(annotations), () => {
      expect(placeOf(annotations)).toEqual(place);
    });
  }

  test("an unknown type", () => {
    expect(() => placeOf({ [CRI]: "I-am-not-a-valid-container-type" })).toThrow(
      `config /annotations/${CRI}: unknown container type`,
    );
  });

  test("a container without a sandbox", () => {
    expect(() => placeOf({ [CRI]: "container" })).toThrow(`config /annotations/${CRI_SANDBOX}: missing`);
    expect(() => placeOf({ [CRIO]: "container", [CRIO_SANDBOX]: "" })).toThrow("missing");
  });
});

describe("leadsSandbox", () => {
  const pod = { [CRIO]: "sandbox", [CRIO_SANDBOX]: "pod" };
  const rows: [string, Record<string, string>, boolean][] = [
    ["a pod's sandbox container", pod, true],
    ["CRI-O's", { ...pod, "io.container.manager": "cri-o" }, true],
    ["containerd's", { [CRI]: "sandbox", [CRI_SANDBOX]: "pod" }, true],
    ["podman's", { ...pod, "io.container.manager": "libpod" }, false],
    ["a container of a pod", { ...pod, [CRIO]: "container" }, false],
    ["a container by itself", {}, false],
    ["one without a sandbox's id", { [CRIO]: "sandbox" }, false],
    ["another one's", { ...pod, [CRIO_SANDBOX]: "other" }, false],
  ];
  for (const [name, annotations, leads] of rows) {
    test(name, () => expect(leadsSandbox({ id: "pod", annotations })).toBe(leads));
  }
});
