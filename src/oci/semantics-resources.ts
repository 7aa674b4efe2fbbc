import type { Problem, Resources } from "./config";
import { deviceAccessProblem } from "./device-access";
import { pointer } from "./json";
import { problem, when } from "./problem";
import { isInterfaceName } from "./semantics-network";
import { unifiedFileProblem } from "./unified-files";

/** Checks the limits of one controller; pointers lead into linux.resources. */
type LimitsRule = (resources: Resources) => Problem[];

const devices: LimitsRule = ({ devices = [] }) =>
  devices.flatMap((rule, index) => {
    const why = deviceAccessProblem(rule);
    return why === undefined ? [] : [problem(`/devices/${index}/access`, why)];
  });

const network: LimitsRule = ({ network }) =>
  (network?.priorities ?? []).flatMap(({ name }, index) =>
    when(
      !isInterfaceName(name),
      `/network/priorities/${index}/name`,
      `${JSON.stringify(name)} is no name of a network interface`,
    ),
  );

const rdma: LimitsRule = ({ rdma = {} }) =>
  Object.entries(rdma).flatMap(([device, { hcaHandles, hcaObjects }]) => {
    const at = pointer(["rdma", device]);
    return [
      ...when(device === "" || /\s/.test(device), at, "is no name of a device"),
      ...when(
        hcaHandles === undefined && hcaObjects === undefined,
        at,
        "hcaHandles or hcaObjects is missing",
      ),
    ];
  });

const unified: LimitsRule = ({ unified = {} }) =>
  Object.keys(unified).flatMap((file) => {
    const why = unifiedFileProblem(file);
    return why === undefined ? [] : [problem(pointer(["unified", file]), why)];
  });

const RULES: readonly LimitsRule[] = [devices, network, rdma, unified];

/** Checks linux.resources, beyond the types of its fields; pointers lead into the resources. */
export function resourceProblems(resources: Resources): Problem[] {
  return RULES.flatMap((rule) => rule(resources));
}
