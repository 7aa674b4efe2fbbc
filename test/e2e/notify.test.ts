// Programs that tell a service manager when they are ready: NOTIFY_SOCKET of the caller, sd_notify(3).
import { describe, expect } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { textOf } from "../../src/linux/call/bytes";
import { recvPacket } from "../../src/linux/file/descriptor-passing";
import { pollAny } from "../../src/linux/file/poll";
import { unixBind } from "../../src/linux/file/unix-socket";
import { Box, e2e, executeLater, HAKO, needsHako, needsProgram, type Result, until } from "./support";

/** What a manager at a socket hears: so many messages, each in so many milliseconds, and what comes right behind them. */
function hear(socket: ReturnType<typeof unixBind>, milliseconds: number, least = 1): string[] {
  const heard: string[] = [];
  while (pollAny([{ fd: socket, for: "read" }], heard.length < least ? milliseconds : 200)[0]) {
    const { data, fds } = recvPacket(socket, 4096);
    for (const fd of fds) fd.close();
    heard.push(textOf(data));
  }
  return heard;
}

/** A program of the host's tools that sends messages to $NOTIFY_SOCKET, one a second word. */
const send = (...messages: string[]) =>
  messages.map((text) => `printf '${text}' | socat - UNIX-SENDTO:$NOTIFY_SOCKET; `).join("");

function manager(box: Box): { path: string; socket: ReturnType<typeof unixBind> } {
  const path = box.path("manager");
  return { path, socket: unixBind(path, 0o600, "dgram") };
}

const NEEDS = [needsHako, needsProgram("socat")];
const withRoot = (box: Box, path: string, ...words: string[]): Promise<Result> =>
  executeLater("env", [`NOTIFY_SOCKET=${path}`, HAKO, "--root", box.root, ...words]);

describe("a program that says when it is ready", () => {
  e2e(
    "run passes it on, with the program's number and not what else it says",
    async () => {
      using box = new Box();
      const { path, socket } = manager(box);
      using _ = socket;
      const line = `echo $NOTIFY_SOCKET; ${send("STATUS=almost", "STATUS=there\\nREADY=1")} sleep 1; exit 3`;
      const done = withRoot(box, path, "run", "--rootfs", "/", box.id(), "--", "sh", "-c", line);
      const heard = hear(socket, 20_000, 2);
      const { status, stdout } = await done;
      expect([status, stdout]).toEqual([3, "/run/notify/notify.sock\n"]);
      expect(heard[0]).toMatch(/^READY=1\nMAINPID=\d+\n$/);
      expect(heard[1]).toBe("BARRIER=1");
      expect(heard).toHaveLength(2);
    },
    NEEDS,
  );

  e2e("start and run --detach don't wait for a container if no manager is there to be told", async () => {
    using box = new Box();
    const warning = /^hako: warning: NOTIFY_SOCKET \S+: connect \S+: no such file or directory\n$/;
    const path = box.path("gone");
    const bundle = () => box.bundle(["sleep", "600"]);
    const [first, second] = [box.id(), box.id()];
    expect((await withRoot(box, path, "create", "--bundle", bundle(), first)).status).toBe(0);
    for (const words of [
      ["start", first],
      ["run", "--detach", "--bundle", bundle(), second],
    ]) {
      const { status, stderr } = await withRoot(box, path, ...words);
      expect(status).toBe(0);
      expect(stderr).toMatch(warning);
    }
    expect([first, second].map((id) => box.state(id).status)).toEqual(["running", "running"]);
  }, [needsHako]);

  e2e(
    "a message that is too long ends nobody",
    async () => {
      using box = new Box();
      const { path, socket } = manager(box);
      using _ = socket;
      const long =
        "head -c 100000 /dev/zero >/tmp/long; socat -u -b 200000 FILE:/tmp/long UNIX-SENDTO:$NOTIFY_SOCKET; sleep 1; ";
      const line = `${long}${send("READY=1")} sleep 1; exit 3`;
      const done = withRoot(box, path, "run", "--rootfs", "/", box.id(), "--", "sh", "-c", line);
      const heard = hear(socket, 20_000, 2);
      const { status, stderr } = await done;
      expect([status, heard.length]).toEqual([3, 2]);
      expect(stderr).toContain("has more than 65536 bytes");
    },
    NEEDS,
  );

  e2e(
    "start waits until it is ready; it is told of the container's process",
    async () => {
      using box = new Box();
      const { path, socket } = manager(box);
      using _ = socket;
      const id = box.id();
      const wait = `while ! [ -e /mnt/flag ]; do sleep 0.1; done; ${send("READY=1")} sleep 600`;
      const mount = `type=bind,source=${box.dir},target=/mnt`;
      const words = ["run", "--detach", "--rootfs", "/", "--mount", mount, id, "--", "sh", "-c", wait];
      const detached = withRoot(box, path, ...words);
      await until("it runs", () => box.hako("state", id).stdout.includes('"running"'));
      expect(hear(socket, 1000)).toEqual([]);
      writeFileSync(box.path("flag"), "");
      expect((await detached).status).toBe(0);
      expect(hear(socket, 100)[0]).toBe(`READY=1\nMAINPID=${box.state(id).pid}\n`);
      expect(existsSync(`${box.root}/${id}/notify/notify.sock`)).toBe(false);
    },
    NEEDS,
  );

  e2e(
    "a program that ends without a word, and a manager that nobody is",
    async () => {
      using box = new Box();
      const { path, socket } = manager(box);
      using _ = socket;
      const first = await withRoot(box, path, "run", "--detach", "--rootfs", "/", box.id(), "--", "true");
      expect([first.status, first.stderr]).toEqual([0, ""]);
      expect(hear(socket, 100)).toEqual([]);
      const nobody = box.path("nobody");
      const second = await withRoot(
        box,
        nobody,
        "run",
        "--detach",
        "--rootfs",
        "/",
        box.id(),
        "--",
        "sh",
        "-c",
        `${send("READY=1")}`,
      );
      expect(second.status).toBe(0);
      expect(second.stderr).toContain(`NOTIFY_SOCKET ${nobody}: `);
    },
    NEEDS,
  );

  e2e(
    "an abstract socket",
    async () => {
      using box = new Box();
      const path = `@hako-e2e-${process.pid}`;
      using socket = unixBind(path, 0o600, "dgram");
      const done = withRoot(box, path, "run", "--rootfs", "/", box.id(), "--", "sh", "-c", send("READY=1"));
      expect(hear(socket, 20_000)[0]).toMatch(/^READY=1\n/);
      expect((await done).status).toBe(0);
    },
    NEEDS,
  );
});
