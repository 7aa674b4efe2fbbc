import { expect, test } from "bun:test";
import { decodeFields, encodeRequest } from "../../src/container/criu/criu-message";

test("options have criu's numbers (images/rpc.proto)", () => {
  const message = decodeFields(
    Buffer.from(encodeRequest("restore", { tcpEstablished: true, tcpClose: true, logFile: "x" })),
  );
  expect(message.get(1)).toBe(2);
  const options = message.get(2);
  if (!(options instanceof Buffer)) throw new Error("no options");
  expect([...decodeFields(options)]).toEqual([
    [5, 1],
    [52, 1],
    [10, Buffer.from("x")],
  ]);
});
