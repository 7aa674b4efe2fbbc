// What an ordinary user's program may write of the host's tree, by what is mounted and who owns what.
import { describe, expect, test } from "bun:test";
import { type Host, hostLayout } from "../../src/container/script/host-layout";

const UID = 1000;
const MEMORY = ["/tmp", "/var/tmp", "/run"];

/** A host by its directories and their owners; names that begin with "-" are files, with "@" links, with "+" closed directories. */
function host(owners: Record<string, number>, mounts: Record<string, string> = {}): Host {
  const all: Record<string, number> = { "/": 0, "/tmp": 0, "/var": 0, "/var/tmp": 0, "/run": 0, ...owners };
  const typeOf = (path: string) =>
    path.includes("/-")
      ? ("file" as const)
      : path.includes("/@")
        ? ("symlink" as const)
        : ("directory" as const);
  return {
    uid: UID,
    mounts: Object.entries(mounts).map(([mountpoint, type]) => ({ mountpoint, type })),
    statusOf(path) {
      const uid = all[path];
      const shared = path === "/tmp" || path === "/var/tmp";
      return uid === undefined ? undefined : { type: typeOf(path), uid, mode: shared ? 0o1777 : 0o755 };
    },
    isOpen: (path) => !path.includes("/+"),
    entriesOf(path) {
      const top = path === "/" ? "/" : `${path}/`;
      const below = Object.keys(all).filter(
        (each) => each.startsWith(top) && !each.slice(top.length).includes("/"),
      );
      return below
        .filter((each) => each !== "/")
        .map((each) => ({
          name: each.slice(top.length),
          type: typeOf(each),
          target: typeOf(each) === "symlink" ? "target" : undefined,
        }));
    },
  };
}

/** Places other than memory, as "kind path". */
function layout(of: Host, own: string[], points: string[] = []) {
  const { places, warnings } = hostLayout(of, { memory: MEMORY, own, points });
  const texts = places.filter(({ kind }) => kind !== "memory").map(({ kind, path }) => `${kind} ${path}`);
  return { places, texts, warnings };
}

/** A host that notes which paths it is asked about. */
function watched(of: Host): { host: Host; looked: string[] } {
  const looked: string[] = [];
  const statusOf = (path: string) => {
    looked.push(path);
    return of.statusOf(path);
  };
  return { host: { ...of, statusOf }, looked };
}

const HOME = { "/home": 0, "/home/u": UID, "/home/u/p": UID, "/home/u/p/q": UID };

describe("own directories", () => {
  const rows: [string, Record<string, number>, string[], string[]][] = [
    ["a home and a directory in it: one overlay", HOME, ["/home/u/p/q", "/home/u"], ["overlay /home/u"]],
    [
      "two of them",
      { ...HOME, "/srv": 0, "/srv/u": UID },
      ["/srv/u", "/home/u"],
      ["overlay /srv/u", "overlay /home/u"],
    ],
    ["others' directories", HOME, ["/home", "/"], []],
    ["others' directory above an own one", { ...HOME, "/home/u/p": 7 }, ["/home/u/p/q"], ["overlay /home/u"]],
    ["root's directory in between", { "/a": UID, "/a/b": 0, "/a/b/c": UID }, ["/a/b/c"], ["overlay /a"]],
    ["one that is missing", HOME, ["/home/v", "/home/u/none"], ["overlay /home/u"]],
    ["the root directory is the user's", { "/": UID, ...HOME }, ["/"], []],
    ["a file in the way", { "/home": 0, "/home/-u": UID }, ["/home/-u/x"], []],
    ["below memory", { "/tmp/x": UID, "/tmp/x/y": UID }, ["/tmp/x/y"], ["overlay /tmp/x"]],
    ["below memory, below root's", { "/tmp/x": 0, "/tmp/x/y": UID }, ["/tmp/x/y"], ["overlay /tmp/x/y"]],
    ["root's below memory", { "/tmp/x": 0, "/tmp/x/y": 0 }, ["/tmp/x/y"], ["overlay /tmp/x/y"]],
    ["root's below memory that is closed", { "/tmp/+x": 0 }, ["/tmp/+x"], ["read-only /tmp/+x"]],
    ["memory that is the user's", { "/tmp": UID, "/tmp/x": UID }, ["/tmp/x"], ["overlay /tmp/x"]],
    ["in /tmp itself its files are there", {}, ["/tmp"], ["overlay /tmp"]],
    ["in /run they are not", {}, ["/run"], []],
    ["the home directory is /tmp", HOME, ["/home/u", "/tmp"], ["overlay /home/u"]],
  ];
  for (const [name, owners, own, wanted] of rows)
    test(name, () => expect(layout(host(owners), own).texts).toEqual(wanted));

  test("places that are nearer to the root come first", () => {
    const { places } = layout(host({ ...HOME, "/tmp/x": UID }), ["/tmp/x", "/home/u"]);
    expect(places.map(({ path }) => path)).toEqual(["/tmp", "/run", "/var/tmp", "/tmp/x", "/home/u"]);
  });
});

describe("mounts in own directories", () => {
  const owners = { ...HOME, "/home/u/m": UID, "/home/u/-f": UID, "/home/u/@l": UID, "/home/u/other": 0 };
  const own = ["/home/u/p", "/home/u"];
  test("an overlay for each directory in it, the mount too", () => {
    const { texts, places, warnings } = layout(host(owners, { "/home/u/m": "ext4" }), own);
    expect(texts).toEqual(["entries /home/u", "overlay /home/u/p", "overlay /home/u/m"]);
    expect(places.find(({ kind }) => kind === "entries")).toMatchObject({
      names: ["p", "m", "-f", "other"],
      links: [["@l", "target"]],
    });
    expect(warnings).toEqual([]);
  });
  test("deeper", () => {
    const { texts } = layout(host(owners, { "/home/u/p/q": "tmpfs" }), own);
    expect(texts).toEqual([
      "entries /home/u",
      "entries /home/u/p",
      "overlay /home/u/m",
      "overlay /home/u/p/q",
    ]);
  });
  test("the home directory is a mount", () =>
    expect(layout(host(HOME, { "/home": "ext4", "/home/u": "nfs4" }), own).texts).toEqual([
      "overlay /home/u",
    ]));
  test("a program's file system is bound, not looked at", () => {
    const { host: asked, looked } = watched(host(owners, { "/home/u/m": "fuse.sshfs" }));
    const { texts } = layout(asked, own);
    expect(texts).toEqual(["entries /home/u", "overlay /home/u/p"]);
    expect(looked).not.toContain("/home/u/m");
  });
  for (const type of ["nfs", "nfs4", "cifs", "autofs"])
    test(`${type} is left out, by name`, () => {
      const { host: asked, looked } = watched(host(owners, { "/home/u/m": type }));
      const { places, warnings } = layout(asked, own);
      expect(places.find(({ kind }) => kind === "entries")).toMatchObject({ names: ["p", "-f", "other"] });
      expect(warnings).toEqual(["/home/u/m is not shown: it is on a network (-v shows it)"]);
      expect(looked).not.toContain("/home/u/m");
    });
  test("one that the user is in is shown", () => {
    const { texts } = layout(host({ ...owners, "/home/u/m/x": UID }, { "/home/u/m": "nfs" }), [
      "/home/u/m/x",
    ]);
    expect(texts).toContain("overlay /home/u/m");
  });
  test("an own directory in a mount that is not the user's", () => {
    const { texts } = layout(
      host({ ...owners, "/home/u/m": 0, "/home/u/m/x": UID }, { "/home/u/m": "ext4" }),
      ["/home/u/m/x"],
    );
    expect(texts).toEqual(["entries /home/u", "overlay /home/u/p", "overlay /home/u/m/x"]);
  });
  test("too many entries: only read, by name", () => {
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`/home/u/-${index}`, UID]));
    const { texts, warnings } = layout(host({ ...owners, ...many }, { "/home/u/m": "ext4" }), ["/home/u"]);
    expect(texts).toEqual([]);
    expect(warnings).toEqual(["/home/u can't be written: /home/u/m is mounted in it"]);
  });
});

describe("mount points that the host hasn't", () => {
  const owners = { ...HOME, "/tmp/x": 0, "/etc": 0, "/etc/-passwd": 0, "/opt": 0, "/dev": 0, "/proc": 0 };
  const rows: [string, string[], string[]][] = [
    ["at the top", ["/data"], ["entries /"]],
    ["two of them", ["/data", "/more/below"], ["entries /"]],
    ["deeper", ["/etc/new/place"], ["entries /etc"]],
    ["at the top and deeper", ["/data", "/etc/new"], ["entries /", "entries /etc"]],
    ["in what memory hides", ["/tmp/x/y"], []],
    ["one that is there", ["/etc", "/etc/-passwd", "/opt"], []],
    ["in memory", ["/tmp/x/y", "/run/z"], []],
    ["below a file", ["/etc/-passwd/x"], []],
  ];
  for (const [name, points, wanted] of rows)
    test(name, () => expect(layout(host(owners), [], points).texts).toEqual(wanted));
  test("in an own directory", () =>
    expect(layout(host(owners), ["/home/u"], ["/home/u/new"]).texts).toEqual(["overlay /home/u"]));
});
