import * as v from "valibot";
import { HakoError } from "../base/errors";
import { GIT_CONFIG, HELD } from "../changes/acting-files";
import { flag, map, object, optional, someTexts, text, texts } from "../oci/schema";
import type { PolicyDocument } from "./policy";
import { checkedDocument, policyText, whyNoPath } from "./policy-document";

/**
 * Settings files of `srt` (anthropic-experimental/sandbox-runtime 0.0.78, src/sandbox/sandbox-config.ts), read as policies. What would restrict and
 * has no counterpart here is refused by name. What is about macOS, Windows or srt's own programs, and what allows more than hako
 * can, has no effect: unix sockets, local ports, which a container of hako's has of its own, and violations, of which hako notes none.
 */

const anything = optional(v.unknown());

const networkEntries = {
  allowedDomains: someTexts,
  deniedDomains: someTexts,
  deniedResolvedAddresses: texts,
  strictAllowlist: flag,
  deniedDomainReasons: anything,
  allowUnixSockets: texts,
  allowAllUnixSockets: flag,
  allowLocalBinding: flag,
  allowMachLookup: anything,
  httpProxyPort: anything,
  socksProxyPort: anything,
  mitmProxy: anything,
  parentProxy: anything,
  tlsTerminate: anything,
};

const filesystemEntries = {
  disabled: flag,
  denyRead: someTexts,
  allowRead: texts,
  allowWrite: someTexts,
  denyWrite: someTexts,
  allowGitConfig: flag,
};

/** How it would be masked: nothing to one that is denied. */
const maskEntries = {
  extract: anything,
  onExtractNoMatch: anything,
  decode: anything,
  maskClaims: anything,
  maskDuplicates: anything,
  injectHosts: anything,
};
const fileEntries = { path: text, mode: text, ...maskEntries };
const variableEntries = { name: text, mode: text, ...maskEntries };
const credentialsEntries = {
  files: optional(v.array(object(fileEntries))),
  envVars: optional(v.array(object(variableEntries))),
  allowPlaintextInject: flag,
  awsPairs: anything,
  sigv4: anything,
};

const entries = {
  network: object(networkEntries),
  filesystem: object(filesystemEntries),
  credentials: optional(object(credentialsEntries)),
  ignoreViolations: optional(map(v.unknown())),
  enableWeakerNestedSandbox: flag,
  enableWeakerNetworkIsolation: flag,
  allowAppleEvents: flag,
  ripgrep: anything,
  mandatoryDenySearchDepth: optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10))),
  allowPty: flag,
  seccomp: anything,
  bwrapPath: anything,
  socatPath: anything,
  javaAgentJarPath: anything,
  windows: anything,
  git: anything,
};

const schema = object(entries);

/** Fields that hand traffic or credentials to somebody, which can't be kept. */
const REFUSED: readonly (keyof typeof networkEntries)[] = [
  "httpProxyPort",
  "socksProxyPort",
  "mitmProxy",
  "parentProxy",
  "tlsTerminate",
];

/** What srt itself protects below the working directory (src/sandbox/sandbox-utils.ts): files, and directories that have to have a file in them. */
const PROTECTED_FILES = [
  ...[".gitconfig", ".gitmodules", ".bashrc", ".bash_profile", ".zshrc", ".zprofile", ".profile"],
  ...[".ripgreprc", ".mcp.json"],
];
const PROTECTED_DIRECTORIES = [".vscode", ".idea", ".claude/commands", ".claude/agents", ".git/hooks"];
const USUAL_DEPTH = 3;
const NESTED = "!(node_modules)";

const NAMES = [
  entries,
  networkEntries,
  filesystemEntries,
  credentialsEntries,
  fileEntries,
  variableEntries,
].flatMap((each) => Object.keys(each));

/** The policy that a settings file of srt's means. */
export function policyOfSrt(source: string, file: string): PolicyDocument {
  const document = checkedDocument(schema, policyText(source, file), file, NAMES);
  const { network, filesystem, credentials, mandatoryDenySearchDepth: depth = USUAL_DEPTH } = document;
  const refuse = (field: string, why: string): never => {
    throw new HakoError({ code: "unsupported", message: `${file}: ${field}: ${why}`, path: file });
  };
  const declared = [...(credentials?.files ?? []), ...(credentials?.envVars ?? [])];
  for (const field of REFUSED)
    if (isSaid(network[field])) refuse(`/network/${field}`, "hako has nothing like it");
  if (declared.some(({ mode }) => mode !== "deny"))
    refuse("/credentials", "what is masked can only be hidden: mode deny");
  if (filesystem.disabled) refuse("/filesystem/disabled", "then hako has nothing to do: leave --policy out");
  if (network.deniedDomains.some((text) => text.startsWith("*:")))
    refuse("/network/deniedDomains", "a port of all names can't be denied: name those that are allowed");
  const { denyRead, allowRead = [], allowWrite, denyWrite, allowGitConfig = false } = filesystem;
  const files = (credentials?.files ?? []).map(({ path }) => path);
  const places = { denyRead, allowRead, allowWrite, denyWrite };
  for (const [field, texts] of Object.entries(places)) refuseUnknown(`/filesystem/${field}`, texts, refuse);
  refuseUnknown("/credentials/files", files, refuse);
  return {
    // allowRead is what counts, in srt too, of what is in both
    hide: [...denyRead.filter((path) => !allowRead.includes(path)), ...files].map(asPlace),
    read: allowRead.map(asPlace),
    write: allowWrite.map(asPlace),
    protect: [...denyWrite.map(asPlace), ...protectedPlaces(depth, allowGitConfig)],
    ...reachedPlaces(network),
  };
}

/** Refuses what in srt's patterns stands for something else than in hako's (globToRegex in src/sandbox/sandbox-utils.ts). */
function refuseUnknown(
  field: string,
  paths: readonly string[],
  refuse: (field: string, why: string) => never,
): void {
  for (const path of paths) {
    const quoted = JSON.stringify(path);
    const wrong = whyNoPath(path);
    if (wrong !== undefined) refuse(field, `${quoted}: ${wrong}`);
    if (/[[\]]/.test(path)) refuse(field, `${quoted}: brackets are not known here: name the paths`);
    if (path.split("/").some((name) => name !== "**" && name.includes("**")))
      refuse(field, `${quoted}: ** stands for whole directories here, as in **/*.pem`);
  }
}

/** What is protected though no setting says so. */
function protectedPlaces(depth: number, allowGitConfig: boolean): string[] {
  const nested = [...PROTECTED_DIRECTORIES, ...(allowGitConfig ? [] : [GIT_CONFIG])];
  // `depth` counts the names of a file's path
  const below = (path: string, names: number) =>
    Array.from(
      { length: Math.max(depth - names, 0) },
      (_, index) => `${`${NESTED}/`.repeat(index + 1)}${path}`,
    );
  return [
    ...HELD.filter((path) => !allowGitConfig || path !== GIT_CONFIG),
    ...PROTECTED_FILES,
    ...PROTECTED_DIRECTORIES,
    ...PROTECTED_FILES.flatMap((path) => below(path, 1)),
    ...nested.flatMap((path) => below(path, 2)),
  ];
}

/** The rules of a network. A name without a port has all, as there; localhost is the host's, of which single ports can be had. */
function reachedPlaces(
  network: v.InferOutput<typeof schema>["network"],
): Pick<PolicyDocument, "network" | "forward"> {
  const { allowedDomains, deniedDomains, deniedResolvedAddresses = [] } = network;
  // denied are also all that are allowed
  if (deniedDomains.includes("*")) return { network: "none" };
  const own = allowedDomains.filter((text) => LOCAL.test(text));
  const forward = own.flatMap((text) => LOCAL.exec(text)?.[1] ?? []);
  const allowed = allowedDomains.filter((text) => !own.includes(text));
  const rules = [
    ...allowed.map((text) => `allow:${HAS_PORT.test(text) ? text : `${text}:*`}`),
    ...[...deniedDomains, ...deniedResolvedAddresses].map((text) => `deny:${text}`),
  ];
  return { network: allowed.length === 0 ? "none" : rules, forward };
}

const HAS_PORT = /^(\[[^\]]*\]|[^:]*):\d+$/;
/** The host's own, to srt; with a port. */
const LOCAL = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::(\d+))?$/;

function isSaid(value: unknown): boolean {
  return value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0);
}

/** A directory is meant with all that is in it. */
function asPlace(path: string): string {
  return path.replace(/\/\*\*$/, "") || "/";
}
