import * as v from "valibot";
import { HakoError } from "../base/errors";
import { flag, map, object, optional, someTexts, text, texts } from "../oci/schema";
import { EXECUTED_LATER, GIT_CONFIG } from "./built-in";
import type { PolicyDocument } from "./policy";
import { checkedDocument, policyText } from "./policy-document";

/**
 * Settings files of `srt` (anthropic-experimental/sandbox-runtime 0.0.78, src/sandbox/sandbox-config.ts), read as policies. What would restrict and
 * has no counterpart here is refused by name. What is about macOS, Windows or srt's own programs, and what allows more than hako
 * can, has no effect.
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

const fileEntries = { path: text, mode: text };
const variableEntries = { name: text, mode: text };
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
  mandatoryDenySearchDepth: anything,
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
  "deniedResolvedAddresses",
];

/** The policy that a settings file of srt's means. */
export function policyOfSrt(source: string, file: string): PolicyDocument {
  const { network, filesystem, credentials } = checkedDocument(schema, policyText(source, file), file);
  const refuse = (field: string, why: string): never => {
    throw new HakoError({ code: "unsupported", message: `${file}: ${field}: ${why}`, path: file });
  };
  const declared = [...(credentials?.files ?? []), ...(credentials?.envVars ?? [])];
  for (const field of REFUSED)
    if (isSaid(network[field])) refuse(`/network/${field}`, "hako has nothing like it");
  if (declared.some(({ mode }) => mode !== "deny"))
    refuse("/credentials", "what is masked can only be hidden: mode deny");
  if (filesystem.disabled) refuse("/filesystem/disabled", "then hako has nothing to do: leave --policy out");
  // denied are also all that are allowed, or some of their ports
  const isAll = network.deniedDomains.includes("*");
  const denied = network.deniedDomains.filter((text) => text !== "*");
  if (denied.some((text) => text.startsWith("*:")))
    refuse("/network/deniedDomains", "a port of all names can't be denied: name those that are allowed");
  const { denyRead, allowRead, allowWrite, denyWrite, allowGitConfig } = filesystem;
  return {
    hide: [...denyRead, ...(credentials?.files ?? []).map(({ path }) => path)].map(asPlace),
    read: (allowRead ?? []).map(asPlace),
    write: allowWrite.map(asPlace),
    protect: [
      ...denyWrite.map(asPlace),
      ...EXECUTED_LATER.filter((path) => !allowGitConfig || path !== GIT_CONFIG),
    ],
    network:
      isAll || network.allowedDomains.length === 0
        ? "none"
        : [...network.allowedDomains.map((text) => `allow:${text}`), ...denied.map((text) => `deny:${text}`)],
  };
}

function isSaid(value: unknown): boolean {
  return value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0);
}

/** A directory is meant with all that is in it. */
function asPlace(path: string): string {
  return path.replace(/\/\*\*$/, "") || "/";
}
