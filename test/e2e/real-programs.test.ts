// What ordinary programs rely on, in a sandbox of `run --policy`: each of these has kept one from working.
import { describe, expect } from "bun:test";
import { e2e, execute } from "./support";
import { WHO } from "./workplace";

for (const [who, make, needs] of WHO)
  describe(who, () => {
    e2e(
      "has as much shared memory as other memory",
      () => {
        using place = make();
        // browsers, databases and Python's multiprocessing map what is there, and die where it ends
        const line =
          "stat -f -c '%b %S' /dev/shm /tmp; head -c 80M /dev/zero > /dev/shm/x; stat -c %s /dev/shm/x";
        const { stdout } = place.sh(["--policy", "agent"], line);
        const [shared, other, written] = stdout.trim().split("\n");
        expect([shared, written]).toEqual([other, `${80 * 1024 * 1024}`]);
        expect(place.sh(["--tmpfs", "/dev/shm:size=1m"], "stat -f -c %b /dev/shm").stdout).toBe("256\n");
      },
      needs,
    );

    e2e(
      "has the caller's locale, time zone and terminal, and no other variables",
      () => {
        using place = make();
        const given = { LANG: "C.UTF-8", LC_TIME: "C", TZ: "UTC-3", COLORTERM: "truecolor" };
        const [command = "", ...words] = place.words;
        const line = "env | grep -c TOKEN; date +%H -d @0; echo $LANG $LC_TIME $TZ $COLORTERM";
        const run = [...words, "run", "--policy", "default", "-e", "LC_TIME=", "--", "sh", "-c", line];
        const { stdout } = execute(command, run, {
          env: { ...place.env, ...given, TOKEN: "x", MY_TOKEN: "x" },
          cwd: place.project,
        });
        expect(stdout).toBe("0\n03\nC.UTF-8 UTC-3 truecolor\n");
      },
      needs,
    );
  });
