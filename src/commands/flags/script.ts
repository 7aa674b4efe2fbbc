import { HakoError } from "../../base/errors";
import type { Argument, ArgumentValues } from "../../cli/arguments";
import type { ScriptValues } from "../../container/script/script-values";
import { statusAt } from "../../linux/file/file";
import { IMAGE_KIND } from "../../oci/image-kind";
import { WEAKER } from "../../state/record";
import { CREATE_FLAGS } from "./create";

/** Flags of `run --rootfs`. An empty limit is refused, not taken for a missing one: the program would run without. */
export const SCRIPT_FLAGS = {
  rootfs: {
    type: "string",
    keepsEmpty: true,
    valueHint: "DIR|IMAGE",
    description:
      "without a bundle: run COMMAND in this root file system; / is the host's, with writes thrown away (an ordinary user's: those to own directories, others fail), as those to an image: FILE.tar, oci:DIR[:TAG], docker-archive:FILE[:TAG]",
  },
  discard: { type: "boolean", description: "with --rootfs DIR: writes are thrown away" },
  "keep-writes": {
    type: "string",
    keepsEmpty: true,
    valueHint: "DIR",
    description:
      "with --rootfs: writes go to DIR, and are there next time; the root file system is only read",
  },
  changes: {
    type: "string",
    keepsEmpty: true,
    valueHint: "DIR",
    description:
      "with --rootfs: what is written is kept in DIR, not made true; hako changes shows, applies and discards it",
  },
  entrypoint: {
    type: "string",
    keepsEmpty: true,
    valueHint: "PROGRAM",
    description: "with an image: the program, in place of the image's ENTRYPOINT and CMD",
  },
  name: {
    type: "string",
    valueHint: "ID",
    description: "with --rootfs: the container's id, as the operand; hako makes one if not given",
  },
  memory: {
    type: "string",
    keepsEmpty: true,
    alias: "m",
    valueHint: "SIZE",
    description: "with --rootfs: memory limit, as 64M or 1G",
  },
  cpus: {
    type: "string",
    keepsEmpty: true,
    valueHint: "N",
    description: "with --rootfs: processors' time, as 0.5",
  },
  pids: {
    type: "string",
    keepsEmpty: true,
    alias: "pids-limit",
    valueHint: "N",
    description: "with --rootfs: limit of processes and threads",
  },
  network: {
    type: "string",
    alias: "net",
    valueHint: "none|host|outbound|NAME|PATH|RULE",
    multiple: true,
    description:
      "with --rootfs: a network of its own with loopback only (default), the host's, or a namespace by its path or its name of ip netns; RULE, as allow:example.com:443, says what a network of its own reaches, outbound all but the host and its networks",
  },
  forward: {
    type: "string",
    keepsEmpty: true,
    valueHint: "[PORT:][HOST:]PORT",
    multiple: true,
    description: "with --rootfs: the command's localhost:PORT is the host's, or HOST's",
  },
  publish: {
    type: "string",
    keepsEmpty: true,
    alias: "p",
    valueHint: "[IP:]PORT[:PORT]",
    multiple: true,
    description: "with --rootfs: the host's PORT, of localhost or IP, is one of the command's localhost",
  },
  "inject-header": {
    type: "string",
    keepsEmpty: true,
    valueHint: "NAME:VALUE@[https://]HOST[:PORT]",
    multiple: true,
    description:
      // biome-ignore lint/suspicious/noTemplateCurlyInString: as the caller writes it
      "with --rootfs and rules: put this header into requests to HOST, of plain HTTP, or of HTTPS by a certificate authority that only the command trusts; ${NAME} in VALUE is what a variable of yours says, which the command doesn't see",
  },
  "network-log": {
    type: "string",
    keepsEmpty: true,
    valueHint: "FILE|FD",
    description: "with --rootfs and rules: write a line of JSON for all that the command tries to reach",
  },
  env: {
    type: "string",
    alias: "e",
    valueHint: "K=V",
    multiple: true,
    description: "with --rootfs: set a variable; K alone takes the caller's value",
  },
  mount: {
    type: "string",
    valueHint: "SPEC",
    multiple: true,
    description: "with --rootfs: type=bind,source=DIR,target=DIR[,ro], or type=tmpfs,target=DIR[,OPTION]",
  },
  volume: {
    type: "string",
    alias: "v",
    valueHint: "SOURCE:TARGET[:ro]",
    multiple: true,
    description: "with --rootfs: a bind mount in fewer letters",
  },
  write: {
    type: "string",
    keepsEmpty: true,
    valueHint: "PATH",
    multiple: true,
    description: "with --rootfs: the host's PATH at the same place, really written",
  },
  hide: {
    type: "string",
    keepsEmpty: true,
    valueHint: "PATH|PATTERN",
    multiple: true,
    description:
      "with --rootfs: empty for the command, wherever it would be seen; with --rootfs / also a pattern, as '**/*.pem'",
  },
  protect: {
    type: "string",
    keepsEmpty: true,
    valueHint: "PATH|PATTERN",
    multiple: true,
    description:
      "with --rootfs: only read, though what it is in may be written; nor moved away; with --rootfs / also a pattern, as '**/.envrc'",
  },
  tmpfs: {
    type: "string",
    valueHint: "TARGET[:OPTION,...]",
    multiple: true,
    description:
      "with --rootfs: a file system in memory, as /run:size=16M; noexec, nosuid and nodev unless told",
  },
  user: {
    type: "string",
    keepsEmpty: true,
    alias: "u",
    valueHint: "U[:G]",
    description: "with --rootfs: names or numbers of user and group",
  },
  userns: {
    type: "enum",
    options: ["host", "auto", "keep-id"],
    description:
      "with --rootfs: whose ids the program has: the host's, others of a range of its own, or the caller's own one",
  },
  "map-root": {
    type: "boolean",
    description: "with --rootfs: for an ordinary user, who is 0 in the container, and not who has called",
  },
  workdir: {
    type: "string",
    alias: "w",
    valueHint: "DIR",
    description: "with --rootfs: working directory; if not given /, or with --rootfs / the caller's",
  },
  "read-only": {
    type: "boolean",
    description: "with --rootfs: it, and all that is mounted below it, can't be written",
  },
  hostname: {
    type: "string",
    valueHint: "NAME",
    description: "with --rootfs: host name; the id if not given",
  },
  seccomp: {
    type: "string",
    keepsEmpty: true,
    valueHint: "default|FILE|off",
    description: "with --rootfs: what system calls it may make: as ordinary programs do, or a profile's",
  },
  "cap-add": {
    type: "string",
    valueHint: "NAME|ALL",
    multiple: true,
    description: "with --rootfs: give it a capability more than the usual ones",
  },
  "cap-drop": {
    type: "string",
    valueHint: "NAME|ALL",
    multiple: true,
    description: "with --rootfs: take a capability away",
  },
  device: {
    type: "string",
    valueHint: "HOST[:PATH][:rwm]",
    multiple: true,
    description: "with --rootfs: a device of the host's",
  },
  ulimit: {
    type: "string",
    valueHint: "NAME=SOFT[:HARD]",
    multiple: true,
    description: "with --rootfs: a limit of setrlimit(2), as nofile=1024; others are the caller's",
  },
  weaker: {
    type: "enum",
    options: [...WEAKER],
    valueHint: WEAKER.join("|"),
    description:
      "with --rootfs: proc: the outer /proc, where no new one may be mounted, as in a container without privileges; namespaces: no container, but Landlock and seccomp alone; attributes: so, and modes, owners, times and attributes of files may be changed anywhere",
  },
  "no-init": {
    type: "boolean",
    description: "with --rootfs: the command is the container's first process, not a child of hako's own",
  },
  idle: {
    type: "boolean",
    description:
      "with --rootfs: no COMMAND, but hako's own first process alone, for those of hako exec, until it is asked to end; in the foreground the id is printed when they may come",
  },
  tty: { type: "boolean", alias: "t", description: "with --rootfs: give the command a terminal" },
} as const satisfies Record<keyof ScriptValues | "name", Argument>;

/** Refuses, for `run --rootfs`, the flags that name a bundle. */
export function refuseBundleFlags({ bundle, config }: { bundle: string; config: string | undefined }): void {
  const given =
    bundle !== CREATE_FLAGS.bundle.default ? "--bundle" : config !== undefined ? "--config" : undefined;
  if (given === undefined) return;
  throw HakoError.usage(
    `${given} and --rootfs contradict each other`,
    "a bundle's config.json names its root file system",
  );
}

/** Refuses, for `run --idle`, a command and what is about one. */
export function refuseCommand(
  args: Pick<ArgumentValues<typeof SCRIPT_FLAGS>, "no-init" | "tty" | "entrypoint">,
  command: readonly string[],
): void {
  const { "no-init": noInit, tty, entrypoint } = args;
  const about = { "--no-init": noInit, "--tty": tty, "--entrypoint": entrypoint !== undefined };
  const given = Object.entries({ COMMAND: command.length > 0, ...about }).find(([, isGiven]) => isGiven);
  if (given !== undefined)
    throw HakoError.usage(
      `--idle and ${given[0]} contradict each other`,
      "hako exec ID COMMAND runs one in it",
    );
}

/** Whether --rootfs names an image: by its word, or as a file. */
export function isImage(rootfs: string): boolean {
  return IMAGE_KIND.test(rootfs) || (rootfs !== "/" && statusAt(rootfs)?.type === "file");
}

/** Refuses, for a directory, the flags of images. */
export function refuseImageFlags({ entrypoint }: { entrypoint: string | undefined }): void {
  if (entrypoint === undefined) return;
  throw HakoError.usage("--entrypoint is for images", "a directory has none: name the program behind --");
}

/** What those do who have a bundle and want what no config.json says. */
const OTHERWISE: Readonly<Record<string, string>> = {
  name: "the id is the operand",
  changes:
    "a bundle's root file system is written directly: --rootfs BUNDLE/rootfs keeps what a command changes of it",
};

/** Refuses what belongs to `run --rootfs` where a bundle is run. */
export function refuseScriptFlags(args: Record<string, unknown>, rest: readonly string[]): void {
  for (const name of Object.keys(SCRIPT_FLAGS)) {
    const value = args[name];
    if (value === undefined || value === false || (Array.isArray(value) && value.length === 0)) continue;
    throw HakoError.usage(`--${name} needs --rootfs`, OTHERWISE[name] ?? "a bundle's config.json says it");
  }
  if (rest.length > 0) {
    throw HakoError.usage(
      `unexpected operand ${JSON.stringify(rest[0])}`,
      "a command needs --rootfs; a bundle's is in its config.json",
    );
  }
}
