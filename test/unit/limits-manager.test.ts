// Who makes the cgroup of an ordinary user's container with limits.
import { expect, test } from "bun:test";
import { managerForLimits } from "../../src/container/script/limits-manager";

const SESSION = "/user.slice/user-1000.slice/session-3.scope";
const USERS = "/user.slice/user-1000.slice/user@1000.service";

function managerOf(own: string, mine: string, systemd: boolean, version: "v1" | "hybrid" | "v2" = "v2") {
  const unified = { mountpoint: "/c", root: "/", name: "", controllers: [], unified: true, own };
  const mayDivide = (dir: string) => dir === mine || dir.startsWith(`${mine}/`);
  return managerForLimits({ version, hierarchies: [unified] }, mayDivide, () => systemd);
}

const rows: [string, string, string, boolean, string][] = [
  ["a login's session", SESSION, `/c${USERS}`, true, "systemd"],
  ["a login's session without a user's systemd", SESSION, `/c${USERS}`, false, "cgroupfs"],
  [
    "a unit of the user's, whose slice is its systemd's",
    `${USERS}/app.slice/x.service`,
    `/c${USERS}`,
    true,
    "systemd",
  ],
  ["below a unit that divides its own", `${USERS}/app.slice/x.service/main`, `/c${USERS}`, true, "cgroupfs"],
  ["a delegated one", "/ci/main", "/c/ci", true, "cgroupfs"],
  ["nothing delegated", "/ci", "/d", false, "cgroupfs"],
];
for (const [name, own, mine, systemd, manager] of rows)
  test(name, () => expect(managerOf(own, mine, systemd)).toBe(manager as "systemd"));
test("cgroup v1: a user's systemd has none", () => {
  for (const version of ["v1", "hybrid"] as const)
    expect(managerOf(SESSION, "/d", true, version)).toBe("cgroupfs");
});
