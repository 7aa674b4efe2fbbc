// Runs in the namespace that transparent-proxy.test.ts makes: catches all ports, and says what came from the namespace beside it, a process of which is the argument.
import { spawn } from "node:child_process";
import { writeSync } from "node:fs";
import { AF } from "../../src/linux/call/constants";
import { Fd } from "../../src/linux/call/fd";
import { syscall } from "../../src/linux/call/syscall";
import { Changes } from "../../src/linux/file/epoll";
import { inetEndpointText } from "../../src/linux/network/inet-address";
import { acceptAt, inetSocket, listenOn, localEndpoint } from "../../src/linux/network/inet-socket";
import { catchAllPorts, makeTransparent, NETFILTER_SOCKET } from "../../src/linux/network/transparent-proxy";

const CLIENT = `
tcp() { exec 3<>/dev/tcp/$1/$2; cat <&3; }
tcp 203.0.113.9 33333; tcp 203.0.113.9 1; tcp 2001:db8::9 44444
`;
const ADDRESSES = { [AF.INET]: new Uint8Array(4), [AF.INET6]: new Uint8Array(16) };

const netfilter = new Fd(syscall("socket", ...NETFILTER_SOCKET));
const changes = new Changes();
for (const family of [AF.INET, AF.INET6] as const) {
  catchAllPorts(netfilter, family, 7);
  const endpoint = { address: ADDRESSES[family], port: 7 };
  const listener = inetSocket(endpoint, "stream");
  makeTransparent(listener, family);
  listenOn(listener, endpoint);
  changes.watch(listener, () => {
    for (let taken = acceptAt(listener); taken !== undefined; taken = acceptAt(listener)) {
      writeSync(1, `${inetEndpointText(localEndpoint(taken))} came\n`);
      taken.close();
    }
  });
}

const client = spawn("nsenter", ["-t", process.argv[2] ?? "", "-n", "bash", "-c", CLIENT], {
  stdio: "inherit",
});
client.on("exit", () => process.exit());
setInterval(() => changes.wait(0), 2);
