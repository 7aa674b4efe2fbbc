// Rules of nf_tables in a network namespace of the test's own, as an ordinary user's: what is called is told, whatever the port.
import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const FIXTURE = join(import.meta.dir, "transparent-proxy-gateway.ts");
/** In a user namespace: the gateway, with a namespace beside it that has a way to it; then the fixture, told of a process in there. */
const SCRIPT = `set -e
ip link set lo up
unshare -n sleep 60 & inside=$!
trap "kill $inside" EXIT
while [ "$(readlink /proc/$inside/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep .02; done
ip link add name outside type veth peer name inside netns $inside
ip addr add 198.18.0.1/30 dev outside
ip -6 addr add fd00::1/126 dev outside nodad
ip link set outside up
nsenter -t $inside -n sh -ec "
  ip link set lo up; ip addr add 198.18.0.2/30 dev inside; ip -6 addr add fd00::2/126 dev inside nodad; ip link set inside up
  ip route add default via 198.18.0.1; ip -6 route add default via fd00::1"
ip route add local default dev lo table main
ip -6 route add local default dev lo table main
${process.execPath} run ${FIXTURE} $inside
`;

const able = spawnSync("unshare", [
  "-Urn",
  "ip",
  "link",
  "add",
  "name",
  "a",
  "type",
  "veth",
  "peer",
  "name",
  "b",
]);

test("connections to any port come to one listener, and their own end is what was called", () => {
  if (able.status !== 0) {
    console.log(`skipped: caught ports: no pair of interfaces in a user namespace: ${able.stderr}`);
    return;
  }
  const { stdout, stderr } = spawnSync("unshare", ["-Urn", "sh", "-c", SCRIPT], { encoding: "utf8" });
  if (stderr.includes("which is not to be had here")) {
    console.log(`skipped: caught ports: ${stderr}`);
    return;
  }
  expect(stderr).toBe("");
  expect(stdout.trim().split("\n")).toEqual([
    "203.0.113.9:33333 came",
    "203.0.113.9:1 came",
    "[2001:db8::9]:44444 came",
  ]);
});
