import { didYouMean } from "../base/nearest";
import { mappedId } from "../linux/process/id-map";
import type { NamespaceType } from "../linux/process/namespace";
import type { Config, IdMapping, Mount, Problem } from "./config";
import { idMapsOfOption } from "./id-map-option";
import { pointer } from "./json";
import { isBind, isCgroupOption, nearestMountOption, planOf, VOLUME_OPTIONS } from "./mount-options";
import { hasNamespace } from "./namespaces";
import { problem, when } from "./problem";
import { intelRdtProblems } from "./semantics-intel-rdt";
import { isolationProblems } from "./semantics-isolation";
import { netDevicesProblems } from "./semantics-network";
import { machineProblems, processProblems } from "./semantics-process";
import { resourceProblems } from "./semantics-resources";
import { seccompProblems } from "./semantics-seccomp";

/** A check that the schema can't make: rules between fields. Each returns its problems. */
type Rule = (config: Config) => Problem[];

const HOOK_KINDS = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;
/** Parameters of an ipc namespace (ipc_namespaces(7)). */
const IPC_SYSCTLS = ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];

/** Whether a container has a new namespace of a type. */
function isNew(config: Config, type: NamespaceType): boolean {
  return (config.linux?.namespaces ?? []).some((namespace) => namespace.type === type && !namespace.path);
}

const processRule: Rule = ({ process }) =>
  process === undefined
    ? [problem("/process", "missing")]
    : processProblems(process).map((each) => problem(`/process${each.pointer}`, each.message));

const rootRule: Rule = ({ root }) =>
  root === undefined ? [problem("/root", "missing")] : when(root.path === "", "/root/path", "is empty");

const namespacesRule: Rule = ({ linux }) => {
  const seen = new Set<string>();
  return (linux?.namespaces ?? []).flatMap(({ type, path = "" }, index) => {
    const at = `/linux/namespaces/${index}`;
    const twice = seen.has(type);
    seen.add(type);
    return [
      ...when(twice, `${at}/type`, `the ${type} namespace is there twice`),
      ...when(path !== "" && !path.startsWith("/"), `${at}/path`, "expected an absolute path"),
    ];
  });
};

const namesRule: Rule = (config) =>
  (["hostname", "domainname"] as const).flatMap((field) =>
    when(
      (config[field] ?? "") !== "" && !hasNamespace(config, "uts"),
      `/${field}`,
      "needs a uts namespace: it would be the host's",
    ),
  );

const userRule: Rule = (config) => {
  const { uidMappings = [], gidMappings = [] } = config.linux ?? {};
  const fields = [
    ["uidMappings", uidMappings],
    ["gidMappings", gidMappings],
  ] as const;
  return fields.flatMap(([field, mappings]) => [
    ...when(
      mappings.length > 0 && !hasNamespace(config, "user"),
      `/linux/${field}`,
      "needs a user namespace",
    ),
    ...when(
      mappings.length === 0 && isNew(config, "user"),
      `/linux/${field}`,
      "missing: a new user namespace needs it",
    ),
    ...mappings.flatMap(({ size }, index) =>
      when(size === 0, `/linux/${field}/${index}/size`, "expected a number above 0"),
    ),
  ]);
};

/** Checks that a new user namespace maps the program's user and groups; the kernel would only say EINVAL. */
const mappedUserRule: Rule = (config) => {
  const { process, linux } = config;
  if (process === undefined || !isNew(config, "user")) return [];
  const { uid, gid, additionalGids = [] } = process.user;
  const unmapped = (id: number, mappings: readonly IdMapping[] = []) =>
    mappings.length > 0 && mappedId(mappings, id) === undefined;
  const why = (id: number, field: string) => `${id} is not in /linux/${field}`;
  return [
    ...when(unmapped(uid, linux?.uidMappings), "/process/user/uid", why(uid, "uidMappings")),
    ...when(unmapped(gid, linux?.gidMappings), "/process/user/gid", why(gid, "gidMappings")),
    ...additionalGids.flatMap((id, index) =>
      when(unmapped(id, linux?.gidMappings), `/process/user/additionalGids/${index}`, why(id, "gidMappings")),
    ),
  ];
};

function bindProblems(mount: Mount, index: number): Problem[] {
  const needed = isBind(mount) && !planOf(mount.options ?? []).remount;
  return when(needed && !mount.source, `/mounts/${index}/source`, "missing: a bind mount needs it");
}

/**
 * Refuses options of bind and cgroup mounts that no table has. For other mounts they are options of the file system; here the kernel
 * would ignore them, so that a mistyped "ro" would go unnoticed. runc refuses those of bind mounts in the same words.
 */
function optionProblems(mount: Mount, index: number): Problem[] {
  const bind = isBind(mount);
  const cgroup = !bind && (mount.type === "cgroup" || mount.type === "cgroup2");
  if ((!bind && !cgroup) || planOf(mount.options ?? []).data.length === 0) return [];
  const why = bind
    ? "bind mounts cannot have any filesystem-specific options applied"
    : "cgroup mounts have no such option";
  return (mount.options ?? []).flatMap((option, at) => {
    const wrong = planOf([option]).data.filter((word) => {
      if (cgroup) return !isCgroupOption(word);
      // idMapProblems looks at these
      return !VOLUME_OPTIONS.includes(word) && !/^r?idmap=/.test(word);
    });
    return wrong.map((word) => {
      const meant = didYouMean(nearestMountOption(word));
      return problem(`/mounts/${index}/options/${at}`, `${why}: ${JSON.stringify(word)}${meant}`);
    });
  });
}

/** Checks idmap and ridmap, and the mappings that belong to them (config.md "Mounts"). */
function idMapProblems(config: Config, mount: Mount, index: number): Problem[] {
  const at = `/mounts/${index}`;
  const { options = [], uidMappings = [], gidMappings = [] } = mount;
  const plan = planOf(options);
  const option = options.findLastIndex((each) => /^r?idmap=/.test(each));
  const said = plan.idMaps === undefined ? undefined : idMapsOfOption(plan.idMaps, config.linux ?? {});
  const mapped = uidMappings.length > 0 || gidMappings.length > 0;
  const sizes = (["uidMappings", "gidMappings"] as const).flatMap((field) => [
    ...when(mapped && (mount[field] ?? []).length === 0, `${at}/${field}`, "missing: both are needed"),
    ...(mount[field] ?? []).flatMap(({ size }, row) =>
      when(size === 0, `${at}/${field}/${row}/size`, "expected a number above 0"),
    ),
  ]);
  const bind = isBind(mount);
  const wanted = mapped || plan.idMap !== undefined;
  return [
    ...when(typeof said === "string", `${at}/options/${option}`, `idmap: ${said}`),
    ...when(
      said !== undefined && mapped,
      `${at}/options/${option}`,
      "idmap: uidMappings and gidMappings say it already",
    ),
    ...when(wanted && !bind, `${at}/options`, "only a bind mount can have an id mapping"),
    ...when(
      bind && plan.idMap !== undefined && said === undefined && !mapped && !hasNamespace(config, "user"),
      `${at}/options`,
      "idmap without uidMappings and gidMappings needs a user namespace",
    ),
    ...sizes,
  ];
}

const mountsRule: Rule = (config) =>
  (config.mounts ?? []).flatMap((mount, index) => [
    ...when(mount.destination === "", `/mounts/${index}/destination`, "is empty"),
    ...bindProblems(mount, index),
    ...optionProblems(mount, index),
    ...idMapProblems(config, mount, index),
  ]);

const hooksRule: Rule = ({ hooks }) =>
  HOOK_KINDS.flatMap((kind) =>
    (hooks?.[kind] ?? []).flatMap(({ path, timeout }, index) => [
      ...when(!path.startsWith("/"), `/hooks/${kind}/${index}/path`, "expected an absolute path"),
      ...when(
        timeout !== undefined && timeout <= 0,
        `/hooks/${kind}/${index}/timeout`,
        "expected a number above 0",
      ),
    ]),
  );

const pathsRule: Rule = ({ linux }) =>
  (["maskedPaths", "readonlyPaths"] as const).flatMap((field) =>
    (linux?.[field] ?? []).flatMap((path, index) =>
      when(!path.startsWith("/"), `/linux/${field}/${index}`, "expected an absolute path"),
    ),
  );

const devicesRule: Rule = ({ linux }) =>
  (linux?.devices ?? []).flatMap(({ path, type, major, minor }, index) => {
    const at = `/linux/devices/${index}`;
    const numbered = type !== "p";
    return [
      ...when(!path.startsWith("/"), `${at}/path`, "expected an absolute path"),
      ...when(numbered && major === undefined, `${at}/major`, "missing"),
      ...when(numbered && minor === undefined, `${at}/minor`, "missing"),
    ];
  });

/** Why the parameter kernel.domainname is refused: it is written after /domainname, whose value would be lost. */
function whyOther({ domainname = "", linux }: Config, name: string): string | undefined {
  if (domainname === "" || linux?.sysctl?.[name] === domainname) return undefined;
  return `contradicts /domainname, ${JSON.stringify(domainname)}`;
}

/** Why a kernel parameter is not the container's own; undefined if it is. */
function notOwn(config: Config, name: string): string | undefined {
  const separator = /[./]/.exec(name)?.[0];
  const parts = separator === "/" ? name.split("/") : name.split(".");
  if (parts.some((part) => part === "" || part === "." || part === "..") || parts.length < 2)
    return "is no kernel parameter";
  const [area = "", parameter = ""] = parts;
  const needs = (type: NamespaceType) =>
    hasNamespace(config, type) ? undefined : `needs the ${type} namespace: it would be the host's`;
  if (area === "net") return needs("network");
  if (area === "user") return needs("user");
  if (area === "fs" && parameter === "mqueue") return needs("ipc");
  if (area === "kernel" && parts.length === 2) {
    if (IPC_SYSCTLS.includes(parameter)) return needs("ipc");
    if (parameter === "hostname") return "is set by /hostname";
    if (parameter === "domainname") return needs("uts") ?? whyOther(config, name);
  }
  return "is the whole host's: no namespace has it";
}

const sysctlRule: Rule = (config) =>
  Object.keys(config.linux?.sysctl ?? {}).flatMap((name) => {
    const why = notOwn(config, name);
    return why === undefined ? [] : [problem(pointer(["linux", "sysctl", name]), why)];
  });

const resourcesRule: Rule = ({ linux }) =>
  resourceProblems(linux?.resources ?? {}).map(({ pointer: at, message }) =>
    problem(`/linux/resources${at}`, message),
  );

const RULES: readonly Rule[] = [
  processRule,
  rootRule,
  namespacesRule,
  namesRule,
  userRule,
  mappedUserRule,
  mountsRule,
  hooksRule,
  pathsRule,
  devicesRule,
  sysctlRule,
  isolationProblems,
  seccompProblems,
  machineProblems,
  netDevicesProblems,
  resourcesRule,
  intelRdtProblems,
];

/** All problems of a config whose fields have the right types. */
export function semanticProblems(config: Config): Problem[] {
  return RULES.flatMap((rule) => rule(config));
}
