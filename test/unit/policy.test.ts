// Policies of `run --policy`: what a file may say, what it extends, and what its paths are.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { networkRule } from "../../src/network/rule";
import { AppliedPolicy, type PolicyValues } from "../../src/policy/applied-policy";
import { BUILT_IN } from "../../src/policy/built-in";
import { isPattern, matchingPaths } from "../../src/policy/path-pattern";
import { parsePolicy } from "../../src/policy/policy-document";
import { policyPlaces } from "../../src/policy/policy-places";
import { readPolicy } from "../../src/policy/read-policy";
import { policyOfSrt } from "../../src/policy/srt-settings";

const dir = mkdtempSync(join(tmpdir(), "hako-policy-"));
afterAll(() => rmSync(dir, { recursive: true }));

let files = 0;

function file(text: string): string {
  const path = join(dir, `policy-${files++}`);
  writeFileSync(path, text);
  return path;
}

const NO_FLAGS: PolicyValues = {
  ...{ rootfs: undefined, network: [], changes: undefined },
  ...{
    hide: [],
    write: [],
    protect: [],
    volume: [],
    mount: [],
    tmpfs: [],
    env: [],
    forward: [],
    publish: [],
    "inject-header": [],
  },
  ...{ memory: undefined, cpus: undefined, pids: undefined, timeout: undefined },
};

describe("a policy's file", () => {
  test("is TOML or JSON", () => {
    const wanted = { hide: ["~/.ssh"], memory: "1G", pids: 64 };
    expect(parsePolicy('hide = ["~/.ssh"]\nmemory = "1G"\npids = 64\n', "f")).toEqual(wanted);
    expect(parsePolicy('{"hide": ["~/.ssh"], "memory": "1G", "pids": 64}', "f")).toEqual(wanted);
  });

  test.each([
    ['hides = ["a"]', "f: /hides: unknown (did you mean hide?)"],
    ['zebra = ["a"]', "f: /zebra: unknown"],
    ['hide = "a"', "f: /hide"],
    ["hide = [1]", "f: /hide/0"],
    ['memory = "much"', "f: /memory: expected a size, as 512M"],
    ["memory = '0'", "f: /memory: expected a size, as 512M"],
    ["pids = 0", "f: /pids: expected a whole number above 0"],
    ["pids = 1.5", "f: /pids: expected a whole number above 0"],
    ["cpus = -1", "f: /cpus: expected a number above 0"],
    ['timeout = "soon"', "f: /timeout: expected a time, as 30s"],
    ['env = ["=x"]', "f: /env/0: expected NAME or NAME=VALUE"],
    ["network = 5", "f: /network: expected a text, or a list of texts"],
    ['network = ["allow:"]', "f: /network"],
    ["{", "f: not JSON"],
    ["= 1", "f: not TOML"],
  ])("%s is refused", (text, message) => {
    expect(() => parsePolicy(text, "f")).toThrow(message);
  });

  test("adds to the policy that it extends; of single values its own counts", () => {
    writeFileSync(
      join(dir, "base"),
      'extends = "build"\nmemory = "1G"\npids = 5\nhide = ["a"]\nnetwork = "host"',
    );
    const path = file('extends = "base"\nmemory = "2G"\nhide = ["b", "a"]\nnetwork = ["none"]');
    const policy = readPolicy(path);
    expect(policy).toMatchObject({ name: path, memory: "2G", pids: "5", cpus: undefined, network: ["none"] });
    expect(policy.files).toEqual([path, join(dir, "base")]);
    expect(policy.hide).toEqual([...BUILT_IN.default.hide, "a", "b"]);
    expect(policy.write).toEqual(["."]);
  });

  test("that is not there, or extends itself, is refused", () => {
    expect(() => readPolicy("agnt")).toThrow("agnt does not exist");
    expect(() => readPolicy("")).toThrow("--policy: empty");
    writeFileSync(join(dir, "circle"), 'extends = "./circle"');
    expect(() => readPolicy(join(dir, "circle"))).toThrow("extend each other in a circle");
    expect(() => readPolicy(file('extends = "none-such"'))).toThrow("none-such does not exist");
  });

  test("that has no end, or is no file, is refused", () => {
    expect(() => readPolicy("/dev/zero")).toThrow("/dev/zero has more than 1048576 bytes");
    expect(() => readPolicy(dir)).toThrow(dir);
    expect(() => readPolicy(file(`${"# \n".repeat(300_000)}= x\n`))).toThrow("not TOML: Expected a key");
  });

  test.each([
    ['{"__proto__": {"hide": ["/x"]}}', "/__proto__: unknown"],
    ["__proto__.hide = ['/x']", "/__proto__: unknown"],
    ['{"constructor": {"prototype": {}}}', "/constructor: unknown"],
    ["hide = ['/x']\nhide = []", "Cannot redefine key 'hide'"],
    ['{"hide": ["/x\\u0000y"]}', "a NUL byte"],
    ['{"hide": ["\\ud800"]}', "not JSON"],
    [`{"hide": ${"[".repeat(50_000)}`, "not JSON"],
    [`hide = ${"[".repeat(50_000)}${"]".repeat(50_000)}`, "not TOML"],
  ])("%# is refused, and changes nothing else", (text, message) => {
    expect(() => parsePolicy(text, "f")).toThrow(message);
    expect("hide" in {}).toBe(false);
  });
});

describe("built-in policies", () => {
  test.each(Object.keys(BUILT_IN))("%s is one that a file could have", (name) => {
    expect(parsePolicy(JSON.stringify(BUILT_IN[name as keyof typeof BUILT_IN]), name)).toEqual(
      BUILT_IN[name as keyof typeof BUILT_IN] as object,
    );
  });

  test("agent hides, writes, protects, and has no network", () => {
    const { hide, write, protect, network } = readPolicy("agent");
    expect(hide).toContain("~/.ssh");
    expect(hide).toContain(".env");
    expect(write).toEqual(["."]);
    expect(protect).toContain(".git/hooks");
    expect(network).toEqual([]);
  });
});

describe("a policy's places", () => {
  const home = join(dir, "home");
  const project = join(home, "project");
  mkdirSync(join(project, ".git/hooks"), { recursive: true });
  mkdirSync(join(home, ".ssh"));
  writeFileSync(join(project, ".git/config"), "");

  test("a protected path that is missing is named by what is missing first, where it is written", () => {
    const path = file(
      `write = ["${project}"]\nprotect = ["${project}/.git/hooks", "${project}/.idea/a/b", "${home}/none", "${project}/.git/config/x"]`,
    );
    const { protect } = policyPlaces(readPolicy(path));
    expect(protect).toEqual([
      { path: `${project}/.git/hooks`, isThere: true },
      { path: `${project}/.idea`, isThere: false },
      // a file where a directory would be: a work tree's .git
      { path: `${project}/.git/config`, isThere: true },
      { path, isThere: true },
    ]);
  });

  test("flags win over a policy where both mount something; other root file systems have the host's secrets hidden", () => {
    const path = file(`hide = ["${home}/.ssh", "${project}/.git"]\nwrite = ["${project}"]\nmemory = "1G"`);
    const policy = new AppliedPolicy(path);
    const added = policy.addedTo(NO_FLAGS);
    expect(added).toMatchObject({ rootfs: "/", memory: "1G", write: [project] });
    expect(added.hide).toEqual([`${home}/.ssh`, `${project}/.git`]);
    const flags = { ...NO_FLAGS, write: [`${home}/.ssh`], volume: [`${home}:${project}:ro`], memory: "2G" };
    expect(policy.addedTo(flags)).toMatchObject({
      memory: "2G",
      hide: [`${project}/.git`],
      write: flags.write,
    });
    const image = { ...NO_FLAGS, rootfs: "image.tar" };
    expect(policy.addedTo(image).hide).toEqual([]);
    expect(policy.hiddenOnHost(image)).toEqual([`${home}/.ssh`, `${project}/.git`]);
    expect(policy.addedTo({ ...NO_FLAGS, changes: "kept" }).write).toEqual([]);
  });
});

describe("patterns", () => {
  const top = join(dir, "tree");
  for (const path of ["a/.env", "a/b/.env", "a/b/x.key", "c.key"]) {
    mkdirSync(join(top, path, ".."), { recursive: true });
    writeFileSync(join(top, path), "");
  }
  symlinkSync(top, join(top, "a/again"));

  test.each([
    ["*.key", ["c.key"]],
    ["a/?/*", ["a/b/.env", "a/b/x.key"]],
    ["**/.env", ["a/.env", "a/b/.env"]],
    ["!(a)", ["c.key"]],
    ["a/!(ag*)/x.key", ["a/b/x.key"]],
    ["!(a)/.env", []],
    ["**/*.key", ["a/b/x.key", "c.key"]],
    ["none/*", []],
    ["c.key/*", []],
    ["?.key", ["c.key"]],
    ["*c*.*k*e*y*", ["c.key"]],
    ["c.key*", ["c.key"]],
    ["*cc*", []],
    ["c.ke?y", []],
  ])("%s", (pattern, wanted) => {
    expect(isPattern(pattern)).toBe(true);
    expect(matchingPaths(join(top, pattern)).sort()).toEqual(wanted.map((path) => join(top, path)));
  });

  test("a name that is made to be slow isn't", () => {
    const hostile = join(dir, "hostile");
    mkdirSync(hostile);
    writeFileSync(join(hostile, "a".repeat(255)), "");
    const begun = performance.now();
    expect(matchingPaths(join(hostile, `${"*a".repeat(120)}*b`))).toEqual([]);
    expect(performance.now() - begun).toBeLessThan(1000);
  });

  test("a tree too large for each command is refused", () => {
    expect(() => matchingPaths("/proc/**/none")).toThrow("more than 20000 names would be looked at");
  });
});

describe("settings of srt", () => {
  const settings = (network: object, filesystem: object = {}, more: object = {}) =>
    JSON.stringify({
      network: { allowedDomains: [], deniedDomains: [], ...network },
      filesystem: { denyRead: [], allowWrite: [], denyWrite: [], ...filesystem },
      ...more,
    });
  const policyOf = (...args: Parameters<typeof settings>) => policyOfSrt(settings(...args), "s.json");

  test("become a policy", () => {
    const policy = policyOf(
      { allowedDomains: ["github.com", "*.npmjs.org:443"], allowLocalBinding: true },
      { denyRead: ["~/.ssh/**", "~"], allowRead: ["."], allowWrite: [".", "/tmp"], denyWrite: [".env"] },
      { enableWeakerNestedSandbox: false, ripgrep: { command: "rg", args: ["--x"] } },
    );
    expect(policy).toMatchObject({
      hide: ["~/.ssh", "~"],
      read: ["."],
      write: [".", "/tmp"],
      network: ["allow:github.com:*", "allow:*.npmjs.org:443"],
    });
    expect(policy.protect).toContain(".env");
    expect(policy.protect).toContain(".git/config");
    const gitConfig = (path: string) => path.endsWith(".git/config");
    expect(policyOf({}).protect?.filter(gitConfig).length).toBeGreaterThan(1);
    expect(policyOf({}, { allowGitConfig: true }).protect?.filter(gitConfig)).toEqual([]);
    expect(policyOf({}).network).toBe("none");
  });

  test("what it protects by itself is protected as deep as it looks", () => {
    const nested = (depth: number | undefined) =>
      policyOf({}, {}, { mandatoryDenySearchDepth: depth }).protect?.filter((path) => path.startsWith("!")) ??
      [];
    expect(nested(1)).toEqual([]);
    expect(nested(undefined)).toContain("!(node_modules)/.git/config");
    expect(nested(undefined)).toContain("!(node_modules)/!(node_modules)/.bashrc");
    expect(nested(3)).toEqual(nested(undefined));
    expect(nested(4)).toContain("!(node_modules)/!(node_modules)/.vscode");
    expect(() => nested(11)).toThrow("/mandatoryDenySearchDepth");
  });

  test("a name without a port has all; localhost is the host's, by its ports", () => {
    const allowedDomains = [
      "a.com",
      "[2001:db8::1]",
      "[2001:db8::2]:80",
      "localhost",
      "localhost:5432",
      "127.0.0.1:80",
    ];
    const { network, forward } = policyOf({
      allowedDomains,
      deniedResolvedAddresses: ["10.0.0.0/8", "fc00::/7"],
    });
    const allowed = ["allow:a.com:*", "allow:[2001:db8::1]:*", "allow:[2001:db8::2]:80"];
    expect(network).toEqual([...allowed, "deny:10.0.0.0/8", "deny:fc00::/7"]);
    expect(forward).toEqual(["5432", "80"]);
    for (const rule of network ?? []) expect(() => networkRule(rule)).not.toThrow();
  });

  test("what is denied is denied by a rule", () => {
    const denied = {
      allowedDomains: ["*.example.com", "b.org"],
      deniedDomains: ["a.example.com", "b.org:22"],
    };
    const rules = ["allow:*.example.com:*", "allow:b.org:*", "deny:a.example.com", "deny:b.org:22"];
    expect(policyOf(denied).network).toEqual(rules);
    expect(policyOf({ ...denied, deniedDomains: ["*"] }).network).toBe("none");
    expect(() => policyOf({ ...denied, deniedDomains: ["*:22"] })).toThrow("/network/deniedDomains: a port");
    const files = [{ path: "~/.netrc", mode: "deny", extract: "x(.)", injectHosts: ["a.com"] }];
    expect(policyOf({}, {}, { credentials: { files } }).hide).toEqual(["~/.netrc"]);
  });

  test.each([
    [{ mitmProxy: { socketPath: "/s", domains: ["a.com"] } }, {}, {}, "/network/mitmProxy"],
    [{}, { disabled: true }, {}, "/filesystem/disabled"],
    [{}, {}, { credentials: { files: [{ path: "~/.x", mode: "mask" }] } }, "/credentials"],
    [{}, { denyReads: [] }, {}, "/filesystem/denyReads: unknown (did you mean denyRead?)"],
    [{}, {}, { filesystem: undefined }, "/filesystem: missing"],
  ] as const)("%j %j %j is refused", (network, filesystem, more, message) => {
    expect(() => policyOf(network, filesystem, more)).toThrow(message);
  });
});
