// Policies of `run --policy`: what a file may say, what it extends, and what its paths are.
import { afterAll, describe, expect, test } from "bun:test";
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asHakoError } from "../../src/base/errors";
import { networkRule } from "../../src/network/rule";
import { AppliedPolicy, type PolicyValues } from "../../src/policy/applied-policy";
import { BUILT_IN } from "../../src/policy/built-in";
import { isPattern, namedPaths, refuseBrackets } from "../../src/policy/path-pattern";
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
  ...{ write: [], volume: [], mount: [], tmpfs: [], env: [], forward: [], publish: [], "inject-header": [] },
  ...{ memory: undefined, cpus: undefined, pids: undefined, timeout: undefined },
};

/** The line that a user reads. */
function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return asHakoError(error).oneLine;
  }
  return "nothing was refused";
}

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
    ['network = ["host", "allow:example.com"]', 'f: /network: "host" stands alone'],
    ['forward = ["5432", "x"]', 'f: /forward: --forward: "x" is not PORT'],
    ['publish = ["x"]', 'f: /publish: --publish: "x" is not [IP:]PORT'],
    ["pids = 99999999999", "f: /pids: expected a whole number above 0"],
    ['inject-header = ["X"]', "f: /inject-header: --inject-header: it is not NAME:VALUE@"],
    ['hide = ["a", ""]', 'f: /hide/1: "": empty'],
    ['write = [""]', 'f: /write/0: "": empty'],
    ['hide = ["~bob/.ssh"]', 'f: /hide/0: "~bob/.ssh": ~ is your own home directory alone'],
    ["{", "f: not JSON"],
    ["= 1", "f: not TOML"],
  ])("%s is refused", (text, message) => {
    expect(refusal(() => parsePolicy(text, "f"))).toContain(message);
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
    expect(refusal(() => readPolicy(file('extends = "agnt"')))).toMatch(
      /policy-\d+: \/extends: policy "agnt": .*\/agnt does not/,
    );
    expect(refusal(() => readPolicy(file('extends = ""')))).toMatch(/policy-\d+: \/extends: /);
    expect(() => readPolicy("agnt")).toThrow("agnt does not exist");
    expect(() => readPolicy("")).toThrow("--policy: empty");
    writeFileSync(join(dir, "circle"), 'extends = "./circle"');
    expect(() => readPolicy(join(dir, "circle"))).toThrow("extend each other in a circle");
    expect(refusal(() => readPolicy(file('extends = "none-such"')))).toContain("none-such does not exist");
  });

  test("that has no end, or is no file, is refused", () => {
    expect(() => readPolicy("/dev/zero")).toThrow("/dev/zero has more than 1048576 bytes");
    expect(() => readPolicy(dir)).toThrow(dir);
    expect(() => readPolicy(file(`${"# \n".repeat(300_000)}= x\n`))).toThrow(
      "not TOML: line 300001, column 1: Expected a key",
    );
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
    [`{"hide": ${"[".repeat(50_000)}${"]".repeat(50_000)}}`, "f: /hide/0/0: nested more than 1000 deep"],
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
    expect(policy.addedTo(NO_FLAGS).args).toMatchObject({ rootfs: "/", memory: "1G", write: [project] });
    const hidden = (flags: PolicyValues) => policy.addedTo(flags).guards.hide.map((place) => place.path);
    expect(hidden(NO_FLAGS)).toEqual([`${home}/.ssh`, `${project}/.git`]);
    const flags = { ...NO_FLAGS, write: [`${home}/.ssh`], volume: [`${home}:${project}:ro`], memory: "2G" };
    expect(policy.addedTo(flags).args).toMatchObject({ memory: "2G", write: flags.write });
    expect(hidden(flags)).toEqual([`${project}/.git`]);
    const image = { ...NO_FLAGS, rootfs: "image.tar" };
    expect(hidden(image)).toEqual([]);
    expect(policy.addedTo(image).guards.hideOnHost).toEqual([`${home}/.ssh`, `${project}/.git`]);
    expect(policy.addedTo({ ...NO_FLAGS, changes: "kept" }).args.write).toEqual([]);
  });
});

describe("patterns", () => {
  const top = join(dir, "tree");
  for (const path of ["a/.env", "a/b/.env", "a/b/x.key", "c.key"]) {
    mkdirSync(join(top, path, ".."), { recursive: true });
    writeFileSync(join(top, path), "");
  }
  symlinkSync(top, join(top, "a/again"));

  const found = (text: string, directory: string) =>
    namedPaths(text, directory, true)
      .map(({ path }) => path)
      .sort();

  test.each([
    ["*.key", ["c.key"]],
    ["a/../*.key", ["c.key"]],
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
    expect(found(pattern, top)).toEqual(wanted.map((path) => join(top, path)));
    expect(found(join(top, pattern), "/")).toEqual(wanted.map((path) => join(top, path)));
  });

  test("a name that is made to be slow isn't", () => {
    const hostile = join(dir, "hostile");
    mkdirSync(hostile);
    writeFileSync(join(hostile, "a".repeat(255)), "");
    const begun = performance.now();
    expect(found(`${"*a".repeat(120)}*b`, hostile)).toEqual([]);
    expect(performance.now() - begun).toBeLessThan(10_000);
  });

  test("a tree too large for each command is refused", () => {
    const [large, name] = [join(dir, "large"), file("")];
    for (const part of ["a", "b", "c"]) {
      mkdirSync(join(large, part), { recursive: true });
      for (let each = 0; each < 7000; each++) linkSync(name, join(large, part, `${each}`));
    }
    expect(found("**/none", join(large, "a"))).toEqual([]);
    expect(() => found("**/none", large)).toThrow("more than 20000 names would be looked at");
  });

  test("one deeper than a path can be long is refused by its directory's name", () => {
    const deep = join(dir, "deep");
    const line = `mkdir -p "$1/top"; cd "$1/top"; for i in $(seq 25); do mkdir ${"d".repeat(200)}; cd ${"d".repeat(200)}; done`;
    Bun.spawnSync(["sh", "-c", line, "sh", deep]);
    expect(() => found("**/x", deep)).toThrow(`"${deep}/top" is deeper than a path can be long`);
    Bun.spawnSync(["rm", "-rf", deep]);
  });

  test("a name that is there takes nothing from what a pattern finds, and what it is looked up in is none", () => {
    const named = join(dir, "named*");
    mkdirSync(join(dir, "named-other"));
    mkdirSync(named);
    for (const name of ["*.key", "a.key", "!(*)"]) writeFileSync(join(named, name), "");
    writeFileSync(join(dir, "named-other/b.key"), "");
    expect(found("*.key", named)).toEqual([join(named, "*.key"), join(named, "a.key")]);
    expect(found("!(*)", named)).toEqual([join(named, "!(*)")]);
    expect(found("a.key", named)).toEqual([join(named, "a.key")]);
  });

  test("brackets and braces are for what is there, and not for patterns", () => {
    const refused = (text: string, ...there: string[]) => {
      const refuse = (why: string) => new Error(why);
      expect(() => refuseBrackets(text, (path) => there.includes(path), refuse)).toThrow("are not known");
    };
    for (const text of ["secret[0-9].txt", "{a,b}", "/x/[ab]*", "*/[id]/x", "$" + "{HOME}/.ssh"])
      refused(text);
    refused("[ab]*", "[ab]*");
    refused("app/[id]/{a}", "app/[id]");
    refuseBrackets("/app/[id]/*.key", (path) => path === "/app/[id]", Error);
    refuseBrackets("plain/*", () => false, Error);
  });

  test("of a project in a directory with such a name write is that directory alone", () => {
    const path = file('write = ["."]\nhide = ["*.key", ".env"]');
    const named = join(dir, "named*");
    const line = `process.chdir(process.argv[1]);
      const { policyPlaces } = await import(${JSON.stringify(`${import.meta.dir}/../../src/policy/policy-places`)});
      const { readPolicy } = await import(${JSON.stringify(`${import.meta.dir}/../../src/policy/read-policy`)});
      console.log(JSON.stringify(policyPlaces(readPolicy(process.argv[2]))));`;
    const { stdout } = Bun.spawnSync([process.execPath, "-e", line, named, path]);
    const { write, hide } = JSON.parse(stdout.toString());
    expect(write).toEqual([{ path: named, isThere: true }]);
    expect(hide.map((each: { path: string }) => each.path)).toEqual(
      ["*.key", "a.key", ".env"].map((name) => join(named, name)),
    );
  });

  test("of a policy refuses brackets of what is not there", () => {
    for (const field of ["hide", "protect"])
      expect(() => policyPlaces(readPolicy(file(`${field} = ["secret[0-9].txt"]`)))).toThrow(
        `${field} "secret[0-9].txt": nothing is called "secret[0-9].txt"`,
      );
    mkdirSync(join(dir, "[slug]"));
    const { hide } = policyPlaces(readPolicy(file(`hide = ["${dir}/[slug]/.env"]`)));
    expect(hide).toEqual([{ path: `${dir}/[slug]/.env`, isThere: false }]);
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
    expect(policy.protect).toContain(".git/hooks");
    expect(policy.protect).toContain(".bashrc");
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
    [{}, { denyRead: ["secret[0-9].txt"] }, {}, '/filesystem/denyRead: "secret[0-9].txt": brackets'],
    [{}, { denyWrite: ["a]"] }, {}, "/filesystem/denyWrite"],
    [{}, { allowRead: ["[a]"] }, {}, "/filesystem/allowRead"],
    [{}, { allowWrite: ["[a]"] }, {}, "/filesystem/allowWrite"],
    [{}, { denyRead: ["**.pem"] }, {}, "** stands for whole directories"],
    [{}, {}, { credentials: { files: [{ path: "~/.[ab]", mode: "deny" }] } }, "/credentials/files"],
  ] as const)("%j %j %j is refused", (network, filesystem, more, message) => {
    expect(() => policyOf(network, filesystem, more)).toThrow(message);
  });
});
