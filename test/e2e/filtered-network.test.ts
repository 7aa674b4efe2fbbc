// Networks with rules of `hako run --rootfs`: what is reached, what is not, and what is told of it; as root and as an ordinary user.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { NEEDS_WORLD, OutsideWorld, SERVERS, say } from "./outside-world";
import { NEEDS } from "./rootless-home";
import { e2e, needsRoot, type Result } from "./support";

const ABLE = [needsRoot, ...NEEDS_WORLD, ...NEEDS];
const able = ABLE.every((need) => need === undefined);
let world: OutsideWorld;
beforeAll(async () => {
  if (able) world = await OutsideWorld.make();
});
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

/** Runs lines of bash under rules. */
function run(who: "root" | "user", flags: readonly string[], ...lines: string[]): Result {
  const words = ["run", "--rootfs", "/", ...flags, "--", "bash", "-c", lines.join("\n")];
  return who === "root" ? world.hako(...words) : world.asUser(...words);
}

function allow(...rules: string[]): string[] {
  return rules.flatMap((rule) => ["--network", `allow:${rule}`]);
}

for (const who of ["root", "user"] as const)
  describe(`as ${who}`, () => {
    e2e(
      "an allowed name is reached at its ports, others are not",
      () => {
        const result = run(
          who,
          allow("web.test", "*.web.test:5432", "six.test:80"),
          say("web.test", 80),
          say("web.test", 443),
          say("web.test", 5432),
          say("api.web.test", 5432),
          say("six.test", 80),
          say("other.test", 80),
        );
        expect(result.stdout.split("\n").slice(0, -1)).toEqual([
          `${SERVERS.public} 80 hello`,
          `${SERVERS.public} 443 hello`,
          "refused",
          `${SERVERS.public} 5432 hello`,
          `${SERVERS.v6} 80 hello`,
          "refused",
        ]);
        expect(result.stderr).toContain("hako: web.test:5432 was refused: --network allow:web.test:5432\n");
        expect(result.stderr).toContain("hako: other.test was refused: --network allow:other.test\n");
      },
      ABLE,
    );
  });
